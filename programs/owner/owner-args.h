/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What `owner`, `attest-qemu` and `attest-domain` share: options that select the verifier, and the owner that they describe. */

#include "owner.h"
#include "platform.h"

typedef struct OwnerArgs {
        PlatformArgs platform;
        char *owner_dir, *name;
        char **secrets;
        char *service, *ca;
        uint64_t wait_usec;
        bool unverified;
} OwnerArgs;

/* The names of the options, of those that are about a session, and which of them have a meaning together. */
#define OWNER_OPTIONS        "owner-dir name inject-secret attestation-service attestation-ca attestation-wait "
#define OWNER_LAUNCH_OPTIONS PLATFORM_OPTIONS "insecure-unverified-platform "
#define OWNER_RULES                                                                                         \
        { "owner-dir", NULL, "attestation-service", "one of them decides" },                                \
                        { "attestation-service", NULL,                                                      \
                                "inject-secret insecure-unverified-platform oca insecure-root",             \
                                "a service has its owner's secrets and policy" },                           \
                        { "attestation-ca attestation-wait", "attestation-service", NULL, NULL },           \
                        PLATFORM_UNVERIFIED_RULE

/* Rows for an option table: the OwnerArgs is called owner in the program's structure. The platform's certificates come with them. */
#define OWNER_ROWS                                                                                                             \
        { "owner-dir", 0, OPTION_REQUIRED, "DIR", "Verifier",                                                                  \
                "Read keys and session here: NAME_tik.bin, NAME_tek.bin,\nNAME_godh.b64, NAME_session.b64",                    \
                "@dir", option_set_string, AT(owner.owner_dir), 0 },                                                           \
                        { "name", 0, OPTION_REQUIRED, "NAME", NULL,                                                            \
                                "Set NAME of these files (default: vm)", NULL, option_set_string,                              \
                                AT(owner.name), 0 },                                                                           \
                        { "inject-secret", 0, OPTION_REQUIRED, "ALIAS-OR-GUID:FILE", NULL,                                     \
                                "Inject this secret, with --owner-dir; repeatable; alias: luks-key", NULL,                     \
                                option_append, AT(owner.secrets), 0 },                                                         \
                        { "attestation-service", 0, OPTION_REQUIRED, "URL", NULL,                                              \
                                "Ask this service instead: https://HOST[:PORT]/vm/ID", NULL,                                   \
                                option_set_string, AT(owner.service), 0 },                                                     \
                        { "attestation-ca", 0, OPTION_REQUIRED, "FILE", NULL,                                                  \
                                "Use these CA certificates (PEM or DER) for the service\n(default: the system's trust store)", \
                                "@file", option_set_string, AT(owner.ca), 0 },                                                 \
                        { "attestation-wait", 0, OPTION_REQUIRED, "TIME", NULL,                                                \
                                "Wait this long for the owner's confirmation (default: 15min)", NULL,                          \
                                option_set_usec, AT(owner.wait_usec), 0 },                                                     \
                        PLATFORM_ROWS(owner.platform), {                                                                       \
                "insecure-unverified-platform", 0, OPTION_NONE, NULL, NULL,                                                    \
                                "Make a session for an unverified PDH, with --owner-dir", NULL,                                \
                                option_set_true, AT(owner.unverified), 0                                                       \
        }

/* The defaults that stand before the command line is read. */
void owner_args_init(OwnerArgs *a);
/* a must outlive the owner. */
_warn_unused_result_ int owner_args_open(
                const OwnerArgs *a, const OwnerPatience *patience, Owner **ret, char **reterr);
/* The platform as `session` checks it, for an owner with keys in a folder: userdata is an OwnerArgs. */
_warn_unused_result_ int owner_check_platform(void *userdata, const OwnerLaunch *in, SevCert *ret_pdh,
                OwnerOutcome *ret_outcome, char **reterr);
