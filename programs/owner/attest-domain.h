/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `cvmspawn attest-domain`: a libvirt domain from its start to its first instruction, with the guest owner's consent in between.
 *
 * attest-domain.c          options, order of the steps
 * attest-domain-libvirt.c  the domain: found or started paused, asked, given its packet, resumed or ended
 * attest-domain-predict.c  which launch digests the owner would accept
 * attest-domain-session.c  the session's files in the owner's folder
 *
 * Whether the folder or the service decides is owner/'s and owner-keys.c's business. */

#include <stdbool.h>

#include "coco.h"
#include "libvirt-client.h"
#include "macro.h"
#include "owner-args.h"
#include "verb.h"

typedef struct DomainArgs {
        OwnerArgs owner;
        char *connect, *launch_id, *on_refusal, *policy;
        char **expect;
        char *firmware, *kernel, *initrd, *cmdline, *vcpus, *cpu;
        uint64_t timeout; /* of one call of libvirt, in microseconds */
        bool allow_debug;
        VerbCommon common;
} DomainArgs;

typedef struct Domain {
        LibvirtConnection *connection; /* owned */
        LibvirtDomain *domain;         /* owned */
        LibvirtDomainInfo info;
        bool local, started; /* started: by us */
        char *session;       /* owned; of its configuration, NULL: none */
        const Coco *coco;    /* SEV or SEV-ES, as the policy says */
        uint32_t policy;
} Domain;

void domain_done(Domain *d);
/* Finds the domain; -ESTALE with an error message if it runs already. */
_warn_unused_result_ int domain_open(const DomainArgs *a, const char *what, Domain *ret, char **reterr);
/* Reads the configuration and refuses (-EPERM) what cannot be attested. *ret_xml is owned. */
_warn_unused_result_ int domain_configuration(const DomainArgs *a, Domain *d, char **ret_xml, char **reterr);
/* Starts it paused with this session, for this once. */
_warn_unused_result_ int domain_start(
                Domain *d, const char *xml, const OwnerSession *session, char **reterr);
/* What its secure processor says; fills all but expect. */
_warn_unused_result_ int domain_claim(Domain *d, OwnerClaim *ret, char **reterr);

/* The digests of what the domain is made of, as the owner's files and options say and its configuration where they say nothing. *ret
 * is owned. */
_warn_unused_result_ int domain_predict(const DomainArgs *a, const Domain *d, const char *xml,
                uint8_t (**ret)[SEV_DIGEST_SIZE], size_t *ret_n, char **reterr);

/* The name of the session in the folder that a domain was started with: the one whose NAME_session.b64 it has. -ENOENT with a
 * sentence. Owned. */
_warn_unused_result_ int domain_session_name(
                const char *folder, const char *session, char **ret, char **reterr);
/* A name for a new one: the domain's, and the time. Owned. */
_warn_unused_result_ int domain_new_name(const Domain *d, char **ret);
