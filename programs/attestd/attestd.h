/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon cvmspawn-attestd: its arguments, and the parts that its main file puts together. */

#include <stdbool.h>

#include "attestd-fetch-queue.h"
#include "attestd-server.h"
#include "crypto-throwaway.h"
#include "macro.h"
#include "process.h"

#define KDS_URL "https://kdsintf.amd.com" /* without --kds= */

typedef struct AttestdArgs {
        char *listen, *state, *secrets_key, *tls_cert, *tls_key, *cek_store, *kds_url, *insecure_root,
                        *prefix;
        char *add_owner, *token_file, *answer, *as;
        char *owner_cert, *host_ca, *kds_cache, *insecure_snp_root;
        char **certs, **snp_certs;
        unsigned rate;
        bool dev, online, plain, no_cache, help;
} AttestdArgs;

/* The child that fetches AMD's signatures (attestd-fetch.c). */
typedef struct AttestdFetch {
        Process process;
        int fd; /* owned */
        FetchQueue queue;
} AttestdFetch;

#define ATTESTD_FETCH_NONE ((AttestdFetch) { .process = PROCESS_NONE, .fd = -EBADF })

/* Everything the service stands on. */
typedef struct AttestdWorld {
        char *state; /* owned; directory */
        Store *store;
        Vault vault;
        TrustAnchor root;
        TrustAnchors own;
        ServiceCollateral *collateral; /* owned */
        size_t n_collateral;
        SnpTrust snp_trust;
        ServiceFile *snp_files; /* owned, with their data */
        size_t n_snp_files;
        char *host_ca;       /* owned; PEM */
        ThrowawayServer tls; /* certificate and key, throw-away or not */
        RateTable rate;
        PlatformCache platforms;
        Service service;
} AttestdWorld;

void attestd_world_done(AttestdWorld *w);
/* State directory, database, key, AMD's certificates; with --dev an owner with a token in a file. */
/* The key, if it is the one that this database's secrets are encrypted with; a new one for a database without. */
_warn_unused_result_ int attestd_open_vault(
                const AttestdArgs *a, AttestdWorld *w, const char *db, char **reterr);
_warn_unused_result_ int attestd_world_open(const AttestdArgs *a, AttestdWorld *ret, char **reterr);
/* ASK and ARK of each --certs= file; *ret is owned. */
_warn_unused_result_ int attestd_load_collateral(
                const AttestdArgs *a, ServiceCollateral **ret, size_t *ret_n, char **reterr);
/* Trust anchors and certificates for SNP, as the options say. */
_warn_unused_result_ int attestd_load_snp(const AttestdArgs *a, AttestdWorld *w, char **reterr);
/* AMD's anchors, or those of --insecure-snp-root. */
_warn_unused_result_ int attestd_load_snp_trust(const AttestdArgs *a, SnpTrust *ret, char **reterr);
void attestd_snp_done(AttestdWorld *w);
_warn_unused_result_ int attestd_load_tls(const AttestdArgs *a, AttestdWorld *w, char **reterr);
/* A new owner: known by a certificate; or by a token, which goes into a new file, for its reader only. */
_warn_unused_result_ int attestd_add_dev_owner(AttestdWorld *w, char **reterr);
_warn_unused_result_ int attestd_add_owner_certificate(
                AttestdWorld *w, const char *name, const char *file, char **reterr);
_warn_unused_result_ int attestd_add_owner(
                AttestdWorld *w, const char *name, const char *token_file, char **reterr);

/* One request without a network, its body on standard input; its answer goes to standard output. */
_warn_unused_result_ int attestd_answer(
                const AttestdArgs *a, const AttestdWorld *w, int *ret_status, char **reterr);

/* The socket that the service manager passed, or a new one. *ret_address is "host:port" or "unix:PATH" (owned). Only with `local`, which
 * others cannot reach, without TLS: -EPERM. */
_warn_unused_result_ int attestd_listen(
                const char *address, bool local, int *ret_fd, char **ret_address, char **reterr);
/* Before anything secret is read: the child keeps what is in memory now. */
_warn_unused_result_ int attestd_fetch_start(const AttestdArgs *a, AttestdFetch *f, char **reterr);
void attestd_fetch_done(AttestdFetch *f);
/* As Service.fetch. Never waits. */
int attestd_fetch_ask(void *userdata, const char *what, const char *peer, unsigned *ret_seconds);
/* Gives up everything that serving does not need; for good. */
_warn_unused_result_ int attestd_confine(const AttestdArgs *a, const AttestdWorld *w, char **reterr);
/* A socket to the service manager, opened before confinement; -EBADF if there is none. */
int attestd_notify_open(void);
/* "READY=1" to the service manager, if there is one. */
void attestd_notify(int fd, const char *line);
