/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What `session` and `cert-chain` share: a platform's certificates from files, a cache and AMD's servers, and their
 * verification. */

#include <stdbool.h>

#include "attest-chain.h"
#include "json.h"
#include "macro.h"
#include "options.h"
#include "snp-generation.h"

typedef struct PlatformArgs {
        char **certs;         /* files with certificates */
        char *oca;            /* file, or SHA-256 in hexadecimal, of the owner's certificate */
        char *insecure_root;  /* file: an ARK that is not AMD's */
        bool unsigned_naples; /* accept the published Naples ARK, which lacks its signature */
        char *cek_id;         /* hexadecimal or base64 (QMP cpu0-id) */
        char *generation;
        char *kds_url, *downloads_url, *cache;
        bool online;
} PlatformArgs;

/* Their names; what chooses the trust anchor stands in the second list. */
#define PLATFORM_FIND_OPTIONS                                                                               \
        "certs online cek-id generation kds downloads cache accept-unsigned-naples-ark "
#define PLATFORM_TRUST_OPTIONS "oca insecure-root "
#define PLATFORM_OPTIONS       PLATFORM_FIND_OPTIONS PLATFORM_TRUST_OPTIONS

/* For an option --insecure-unverified-platform beside them. */
#define PLATFORM_UNVERIFIED_RULE                                                                            \
        {                                                                                                   \
                "insecure-unverified-platform", NULL,                                                       \
                                "online cek-id generation kds downloads cache oca insecure-root",           \
                                "without verification no certificate is looked for and no root trusted"     \
        }

/* Rows for an option table: `field` is the PlatformArgs in the program's structure, AT() says where a member of that is. */
#define PLATFORM_ROWS(field)                                                                                                             \
        { "certs", 0, OPTION_REQUIRED, "FILE", "Certificates",                                                                           \
                "Add certificates from this file: the chain of the host, AMD's\nask_ark file, in any order; repeatable",                 \
                "@file", option_append, AT(field.certs), 0 },                                                                            \
                        { "oca", 0, OPTION_REQUIRED, "FILE|SHA256", NULL,                                                                \
                                "Require that the owner with this certificate owns the platform", "@file",                               \
                                option_set_string, AT(field.oca), 0 },                                                                   \
                        { "online", 0, OPTION_NONE, NULL, NULL,                                                                          \
                                "Download what is missing from AMD (the cache is always used)", NULL,                                    \
                                option_set_true, AT(field.online), 0 },                                                                  \
                        { "cek-id", 0, OPTION_REQUIRED, "ID", NULL,                                                                      \
                                "Download the signed CEK of the chip with this id: hexadecimal,\nor base64 as QMP gives it (cpu0-id)",   \
                                NULL, option_set_string, AT(field.cek_id), 0 },                                                          \
                        { "generation", 0, OPTION_REQUIRED, "NAME", NULL,                                                                \
                                "Download the ask_ark file of this generation (default: try all)",                                       \
                                "naples rome " SNP_GENERATION_NAMES, option_set_string,                                                  \
                                AT(field.generation), 0 },                                                                               \
                        { "kds", 0, OPTION_REQUIRED, "URL", NULL,                                                                        \
                                "Use this instead of AMD's key service (https://kdsintf.amd.com)", NULL,                                 \
                                option_set_string, AT(field.kds_url), 0 },                                                               \
                        { "downloads", 0, OPTION_REQUIRED, "URL", NULL,                                                                  \
                                "Get AMD's ask_ark files here (default:\nhttps://download.amd.com/developer/eula/sev)",                  \
                                NULL, option_set_string, AT(field.downloads_url), 0 },                                                   \
                        { "cache", 0, OPTION_REQUIRED, "DIR", NULL,                                                                      \
                                "Keep downloaded certificates in this directory; empty: nowhere", "@dir",                                \
                                option_set_string, AT(field.cache), 0 },                                                                 \
                        { "accept-unsigned-naples-ark", 0, OPTION_NONE, NULL, "Dangerous",                                               \
                                "Accept the ARK of the first generation as AMD publishes it,\nwithout its signature: its key is pinned", \
                                NULL, option_set_true, AT(field.unsigned_naples), 0 },                                                   \
        {                                                                                                                                \
                "insecure-root", 0, OPTION_REQUIRED, "FILE", NULL,                                                                       \
                                "Trust this ARK instead of AMD's, for simulated platforms", "@file",                                     \
                                option_set_string, AT(field.insecure_root), 0                                                            \
        }

/* The anchor that --insecure-root names: the key of any certificate in AMD's format. */
_warn_unused_result_ int platform_load_root(const char *path, TrustAnchor *ret, char **reterr);
/* The files that the options name hold what they should. */
_warn_unused_result_ int platform_check_files(const PlatformArgs *a, char **reterr);
/* One of the facts that libvirt and QEMU tell of a host, by their common names: pdh and cert-chain (base64) go to the chain, cpu0-id
 * to *cek_id unless something is there (owned; cek_id may be NULL), others are nothing to us. */
_warn_unused_result_ int platform_add_fact(const PlatformArgs *a, SevChain *chain, char **cek_id,
                const char *name, const char *value, size_t n, char **reterr);
/* Reads the files (NULL-terminated list) and those of --certs: certificates, what `virsh nodesevinfo` prints, or QMP's answer to
 * query-sev-capabilities. */
_warn_unused_result_ int platform_load(
                const PlatformArgs *a, char *const *files, SevChain *ret, char **reterr);
/* The same, and the cpu0-id among these becomes --cek-id unless that was given. */
_warn_unused_result_ int platform_load_facts(
                PlatformArgs *a, char *const *files, SevChain *ret, char **reterr);
/* Verifies; what is missing is looked for in the cache and, with --online, fetched, and then added to *chain. */
_warn_unused_result_ int platform_verify(
                const PlatformArgs *a, SevChain *chain, SevChainReport *ret, char **reterr);

/* The report for people, one line a step, and as JSON: [{"subject","check","verdict","detail"}...]. */
void platform_print_report(const SevChainReport *r);
_warn_unused_result_ int platform_report_to_json(const SevChainReport *r, Json **ret);
