/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What `attestor`, `attest-qemu` and `attest-domain` share: options that say who decides, and the attestor that they amount to. */

#include "attestor.h"
#include "platform.h"

typedef struct DeskArgs {
        PlatformArgs platform;
        char *owner_dir, *name;
        char **secrets;
        char *service, *ca;
        uint64_t wait_usec;
        bool unverified;
} DeskArgs;

void desk_args_done(DeskArgs *a);

/* Rows for an option table whose structure begins with a DeskArgs; those of the platform's certificates come with them. */
#define DESK_AT(member) offsetof(DeskArgs, member)
#define DESK_ROWS                                                                                           \
        { "owner-dir", 0, OPTION_REQUIRED, "DIR", "Who decides",                                            \
                "keys and session are here: NAME_tik.bin, NAME_tek.bin,\nNAME_godh.b64, NAME_session.b64",  \
                "@dir", option_set_string, DESK_AT(owner_dir), 0 },                                         \
                        { "name", 0, OPTION_REQUIRED, "NAME", NULL, "NAME of these files (vm)", NULL,       \
                                option_set_string, DESK_AT(name), 0 },                                      \
                        { "inject-secret", 0, OPTION_REQUIRED, "ALIAS-OR-GUID:FILE", NULL,                  \
                                "with --owner-dir: a secret for the guest (repeatable); alias: luks-key",   \
                                NULL, option_append, DESK_AT(secrets), 0 },                                 \
                        { "attestation-service", 0, OPTION_REQUIRED, "URL", NULL,                           \
                                "ask this service instead: https://HOST[:PORT]/vm/ID", NULL,                \
                                option_set_string, DESK_AT(service), 0 },                                   \
                        { "attestation-ca", 0, OPTION_REQUIRED, "FILE", NULL,                               \
                                "whom to trust for it, PEM; else the system's authorities", "@file",        \
                                option_set_string, DESK_AT(ca), 0 },                                        \
                        { "attestation-wait", 0, OPTION_REQUIRED, "TIME", NULL,                             \
                                "how long to wait for the owner's confirmation (15min)", NULL,              \
                                option_set_usec, DESK_AT(wait_usec), 0 },                                   \
                        PLATFORM_ROWS(DeskArgs), {                                                          \
                "insecure-unverified-platform", 0, OPTION_NONE, NULL, NULL,                                 \
                                "with --owner-dir: make a session for a PDH that nobody vouches for", NULL, \
                                option_set_true, DESK_AT(unverified), 0                                     \
        }

/* The defaults that stand before the command line is read. */
void desk_args_init(DeskArgs *a);
/* a must outlive the attestor. */
_warn_unused_result_ int desk_attestor_new(
                const DeskArgs *a, const AttestorPatience *patience, Attestor **ret, char **reterr);
/* The platform as `session` checks it, for a desk of one's own: userdata is a DeskArgs. */
_warn_unused_result_ int desk_check_platform(void *userdata, const AttestorLaunch *in, SevCert *ret_pdh,
                AttestorOutcome *ret_outcome, char **reterr);
