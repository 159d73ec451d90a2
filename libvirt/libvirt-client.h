/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A connection to libvirt and one domain of it, as far as measurements of SEV launches need them. libvirt.so.0 is loaded by the
 * first libvirt_open(). Sentences are libvirt's own words. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"

typedef struct LibvirtConnection LibvirtConnection;
typedef struct LibvirtDomain LibvirtDomain;

/* How long one call may wait for libvirt (0: without end), and the exit status of the process if one waits longer; 5 minutes and 1 unless
 * set. */
void libvirt_set_limit(uint64_t usec, int exit_status);
/* -EOPNOTSUPP with a remedy if libvirt is not installed; -EREMOTEIO for everything that libvirt refuses. */
_warn_unused_result_ int libvirt_open(const char *uri, LibvirtConnection **ret, char **reterr);
LibvirtConnection *libvirt_close(LibvirtConnection *c); /* takes NULL; returns NULL */
_warn_unused_result_ int libvirt_hostname(LibvirtConnection *c, char **ret, char **reterr);
_warn_unused_result_ int libvirt_capabilities(LibvirtConnection *c, char **ret, char **reterr);

/* What the host says about its secure processor (virNodeGetSEVInfo, `virsh nodesevinfo`), as base64 text. */
typedef struct LibvirtPlatform {
        char *pdh, *cert_chain; /* owned */
        char *cpu0_id;          /* owned; NULL: libvirt before 8.4 */
} LibvirtPlatform;

void libvirt_platform_done(LibvirtPlatform *p);
_warn_unused_result_ int libvirt_platform(LibvirtConnection *c, LibvirtPlatform *ret, char **reterr);

typedef enum LibvirtLookup {
        LIBVIRT_BY_ID,
        LIBVIRT_BY_UUID,
        LIBVIRT_BY_NAME,
        _LIBVIRT_LOOKUP_MAX,
} LibvirtLookup;

/* The connection must outlive the domain. */
_warn_unused_result_ int libvirt_lookup(LibvirtConnection *c, LibvirtLookup how, const char *what,
                LibvirtDomain **ret, char **reterr);
/* Starts a domain from XML, its CPUs stopped. A persistent domain of the same name and UUID keeps its configuration: the XML is
 * for this start only. */
_warn_unused_result_ int libvirt_start_paused(
                LibvirtConnection *c, const char *xml, LibvirtDomain **ret, char **reterr);
LibvirtDomain *libvirt_domain_free(LibvirtDomain *d); /* takes NULL; returns NULL */

#define LIBVIRT_STATE_PAUSED 3u

typedef struct LibvirtDomainInfo {
        int id;
        char *name; /* owned */
        char uuid[37];
        bool active;
        unsigned state, vcpus;
} LibvirtDomainInfo;

void libvirt_domain_info_done(LibvirtDomainInfo *i);
_warn_unused_result_ int libvirt_domain_info(LibvirtDomain *d, LibvirtDomainInfo *ret, char **reterr);
_warn_unused_result_ int libvirt_domain_xml(LibvirtDomain *d, char **ret, char **reterr);
/* What to start it from: the configuration, with what libvirt keeps out of other answers. */
_warn_unused_result_ int libvirt_domain_xml_to_start(LibvirtDomain *d, char **ret, char **reterr);

/* What the host says about the launch; has_* because libvirt leaves out what does not apply. */
typedef struct LibvirtLaunch {
        char *measurement; /* owned; NULL: not told */
        bool has_api_major, has_api_minor, has_build_id, has_policy;
        unsigned api_major, api_minor, build_id, policy;
} LibvirtLaunch;

void libvirt_launch_done(LibvirtLaunch *l);
_warn_unused_result_ int libvirt_domain_launch(LibvirtDomain *d, LibvirtLaunch *ret, char **reterr);
/* Gives the packet (base64) to the guest; address NULL: the firmware's area for secrets. */
_warn_unused_result_ int libvirt_domain_inject(LibvirtDomain *d, const char *header, const char *payload,
                const uint64_t *address, char **reterr);
_warn_unused_result_ int libvirt_domain_resume(LibvirtDomain *d, char **reterr);
_warn_unused_result_ int libvirt_domain_destroy(LibvirtDomain *d, char **reterr);

/* This machine's name as it calls itself, and as the resolver calls it: the first name with a dot, else the first. Libvirt
 * reports one or the other, so that both must be asked to tell a remote host from this one. */
_warn_unused_result_ int libvirt_own_name(char **ret);
_warn_unused_result_ int libvirt_resolved_name(char **ret);
