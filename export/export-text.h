/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the targets share: escapes, and the check that a text can be written in a format at all. */

#include "export.h"
#include "strutil.h"

/* UTF-8 without control characters other than tab and newline; -EINVAL with an error message that names `what`. */
_warn_unused_result_ int export_check_text(const char *what, const char *text, char **reterr);
/* The same for all texts of a guest. */
_warn_unused_result_ int export_check_texts(const ExportGuest *g, char **reterr);
/* Character data or an attribute value of XML; a carriage return or a newline stays what it is. */
void export_put_xml(Text *t, const char *text);
/* One word of a POSIX shell: as it is, or in single quotes. */
void export_put_shell(Text *t, const char *text);

/* The targets: as export_guest(). */
_warn_unused_result_ int export_incus(
                const ExportGuest *g, const ExportOptions *o, Text *t, char ***notices, char **reterr);
_warn_unused_result_ int export_kata(
                const ExportGuest *g, const ExportOptions *o, Text *t, char ***notices, char **reterr);
_warn_unused_result_ int export_kubevirt(
                const ExportGuest *g, const ExportOptions *o, Text *t, char ***notices, char **reterr);
_warn_unused_result_ int export_libvirt(
                const ExportGuest *g, const ExportOptions *o, Text *t, char ***notices, char **reterr);
_warn_unused_result_ int export_openstack(
                const ExportGuest *g, const ExportOptions *o, Text *t, char ***notices, char **reterr);
_warn_unused_result_ int export_proxmox(
                const ExportGuest *g, const ExportOptions *o, Text *t, char ***notices, char **reterr);
_warn_unused_result_ int export_qemu(
                const ExportGuest *g, const ExportOptions *o, Text *t, char ***notices, char **reterr);
