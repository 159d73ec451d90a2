/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What `session` and `cert-chain` share: a platform's certificates from files, a cache and AMD's servers, and their
 * verification. */

#include <stdbool.h>

#include "attest-chain.h"
#include "json.h"
#include "macro.h"
#include "options.h"

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

void platform_args_done(PlatformArgs *a);

/* Rows for an option table; `type` has a PlatformArgs named platform. */
#define PLATFORM_AT(type, member) offsetof(type, platform.member)
#define PLATFORM_ROWS(type)                                                                                 \
        { "certs", 0, OPTION_REQUIRED, "FILE", "Certificates",                                              \
                "more certificates: the chain of the host, AMD's ask_ark\nfile, in any order; repeatable",  \
                "@file", option_append, PLATFORM_AT(type, certs), 0 },                                      \
                        { "oca", 0, OPTION_REQUIRED, "FILE|SHA256", NULL,                                   \
                                "the platform must belong to the owner with this certificate", "@file",     \
                                option_set_string, PLATFORM_AT(type, oca), 0 },                             \
                        { "online", 0, OPTION_NONE, NULL, NULL,                                             \
                                "fetch what is missing from AMD (the cache is used always)", NULL,          \
                                option_set_true, PLATFORM_AT(type, online), 0 },                            \
                        { "cek-id", 0, OPTION_REQUIRED, "ID", NULL,                                         \
                                "the chip's id, to fetch its signed CEK: hexadecimal, or base64\nas QMP "   \
                                "gives it (cpu0-id)",                                                       \
                                NULL, option_set_string, PLATFORM_AT(type, cek_id), 0 },                    \
                        { "generation", 0, OPTION_REQUIRED, "NAME", NULL,                                   \
                                "whose ask_ark file to fetch; without it all are tried",                    \
                                "naples rome milan genoa turin", option_set_string,                         \
                                PLATFORM_AT(type, generation), 0 },                                         \
                        { "kds", 0, OPTION_REQUIRED, "URL", NULL,                                           \
                                "AMD's key service (https://kdsintf.amd.com)", NULL, option_set_string,     \
                                PLATFORM_AT(type, kds_url), 0 },                                            \
                        { "downloads", 0, OPTION_REQUIRED, "URL", NULL,                                     \
                                "AMD's ask_ark files (https://download.amd.com/developer/eula/sev)", NULL,  \
                                option_set_string, PLATFORM_AT(type, downloads_url), 0 },                   \
                        { "cache", 0, OPTION_REQUIRED, "DIR", NULL,                                         \
                                "where fetched certificates are kept; empty: nowhere", "@dir",              \
                                option_set_string, PLATFORM_AT(type, cache), 0 },                           \
                        { "accept-unsigned-naples-ark", 0, OPTION_NONE, NULL, "Dangerous",                  \
                                "accept the ARK of the first generation as AMD publishes it,\nwithout its " \
                                "signature: its key is pinned",                                             \
                                NULL, option_set_true, PLATFORM_AT(type, unsigned_naples), 0 },             \
        {                                                                                                   \
                "insecure-root", 0, OPTION_REQUIRED, "FILE", NULL,                                          \
                                "trust this ARK instead of AMD's, for simulated platforms", "@file",        \
                                option_set_string, PLATFORM_AT(type, insecure_root), 0                      \
        }

/* The anchor that --insecure-root names: the key of any certificate in AMD's format. */
_warn_unused_result_ int platform_load_root(const char *path, TrustAnchor *ret, char **reterr);
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
