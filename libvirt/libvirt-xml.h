/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Questions about libvirt's XML, by XPath. libxml2 is loaded by the first libvirt_xml_parse(); only functions are used, so that its
 * structures, which changed with the soname, do not matter. The text comes from a host that is not trusted: no network, no
 * entities, a limit on its size. */

#include <stddef.h>

#include "macro.h"

#define LIBVIRT_XML_SIZE_MAX                                                                                \
        (16u * 1024 * 1024) /* domains have some KiB, capabilities of large hosts some 100 */

typedef struct LibvirtXml LibvirtXml;

/* -EOPNOTSUPP if libxml2 is not installed, -EBADMSG if the text is not XML. */
_warn_unused_result_ int libvirt_xml_parse(const char *text, LibvirtXml **ret, char **reterr);
LibvirtXml *libvirt_xml_free(LibvirtXml *x); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(LibvirtXml *, libvirt_xml_free);
#define _cleanup_libvirt_xml_ _cleanup_(libvirt_xml_freep)

/* How many nodes a path finds. */
_warn_unused_result_ int libvirt_xml_count(LibvirtXml *x, const char *path, size_t *ret);
/* The text of the first node; NULL if there is no node, or if it contains no text. Owned. */
_warn_unused_result_ int libvirt_xml_text(LibvirtXml *x, const char *path, char **ret);

/* The name of the first node, without its prefix; NULL if there is none. Owned. */
_warn_unused_result_ int libvirt_xml_name(LibvirtXml *x, const char *path, char **ret);

/* Puts the owner's certificate and the session, base64 text, into <launchSecurity type='sev'>, in place of those that are there.
 * -EINVAL: there is no such element, or more than one. *ret is the whole document, owned. */
_warn_unused_result_ int libvirt_xml_set_session(
                const char *text, const char *dh_cert, const char *session, char **ret, char **reterr);
