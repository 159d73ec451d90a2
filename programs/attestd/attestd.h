/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon cvmspawn-attestd: its arguments, and the parts that its main file puts together. */

#include <stdbool.h>

#include "attestd-fetch-queue.h"
#include "attestd-server.h"
#include "crypto-throwaway.h"
#include "httpd.h"
#include "macro.h"
#include "process.h"
#include "proxy-header.h"
#include "td-verify.h"

#define ATTESTD_ANOTHER_KEY                                                                                 \
        "the secrets in '%s' are encrypted with another key than '%s': name the right one with --secrets-key=, or begin with an empty state directory"

#define ATTESTD_LISTEN_DEFAULT "127.0.0.1:8443"
#define KDS_URL                "https://kdsintf.amd.com" /* without --kds= */

typedef struct AttestdArgs {
        char *listen, *state, *secrets_key, *tls_cert, *tls_key, *cek_store, *kds_url, *pcs_url,
                        *insecure_root, *prefix;
        char *add_owner, *token_file, *answer, *as;
        char *owner_cert, *host_ca, *kds_cache, *insecure_snp_root, *insecure_tdx_root, *store, *rotate_key,
                        *migrate_from, *crl, *metrics, *via, *via_token, *via_ca;
        char *proxy_protocol;
        char **certs, **snp_certs, **tdx_collateral;
        ProxySources proxies; /* of proxy_protocol */
        unsigned rate, rotate_wait;
        bool dev, online, plain, no_cache, check_store, audit, help;
} AttestdArgs;

/* The child that fetches AMD's signatures (attestd-fetch.c). */
typedef struct AttestdFetch {
        Process process;
        int fd; /* owned */
        FetchQueue queue;
} AttestdFetch;

#define ATTESTD_FETCH_NONE ((AttestdFetch) { .process = PROCESS_NONE, .fd = -EBADF })

/* The child that keeps the connection to a relay (attestd-via.c). */
typedef struct AttestdVia {
        Process process;
        int fd; /* owned; -EBADF: none */
} AttestdVia;

#define ATTESTD_VIA_NONE ((AttestdVia) { .process = PROCESS_NONE, .fd = -EBADF })

/* Everything the service stands on. */
typedef struct AttestdWorld {
        char *state;      /* owned; directory */
        char *store_name; /* owned: as messages call it */
        Store *store;
        Vault vault;
        TrustAnchor root;
        TrustAnchors own;
        ServiceCollateral *collateral; /* owned */
        size_t n_collateral;
        SnpTrust snp_trust;
        ServiceFile *snp_files; /* owned, with their data */
        size_t n_snp_files;
        TdTrust td_trust;
        Certificate *td_root; /* owned */
        ServiceFile *td_files; /* owned, with their data */
        size_t n_td_files;
        char *host_ca;       /* owned; PEM */
        ThrowawayServer tls; /* certificate and key, throw-away or not */
        RateTable rate;
        Metrics metrics;
        Refusals *refusals; /* owned */
        PlatformCache platforms;
        const AttestdVia *via; /* weak; or NULL */
        Service service;
} AttestdWorld;

/* What monitoring asks. */
typedef struct AttestdMonitor {
        Httpd *httpd; /* owned; NULL: nobody asks */
        const Service *service;
        bool ends;
} AttestdMonitor;

void attestd_world_done(AttestdWorld *w);
/* Whether --store= names a database that other machines use, too. */
bool attestd_store_is_shared(const AttestdArgs *a);
/* The database of --store=, or state.db in the state directory; w->store_name is what messages call it. */
_warn_unused_result_ int attestd_open_store(const AttestdArgs *a, AttestdWorld *w, char **reterr);
/* The key, if it is the one that this database's secrets are encrypted with; a new one for a database without. */
_warn_unused_result_ int attestd_open_vault(const AttestdArgs *a, AttestdWorld *w, char **reterr);
/* The store's key, by its id in the store: w->vault may get the one that follows it while secrets are encrypted again. With `rotating` such a
 * store is not refused. 1: the store knows its key; 0: it has none yet. */
_warn_unused_result_ int attestd_agree_key(AttestdWorld *w, const char *path, bool rotating, char **reterr);
/* This key becomes the store's, which has none yet. */
_warn_unused_result_ int attestd_put_key(AttestdWorld *w, const char *path, char **reterr);
/* As Service.rekey. */
int attestd_rekey(void *userdata);
/* The store has the key of --rotate-key= from here on, w->vault both keys. */
_warn_unused_result_ int attestd_rotation_begin(const AttestdArgs *a, AttestdWorld *w, char **reterr);
/* Encrypts everything with the key of --rotate-key= again. */
_warn_unused_result_ int attestd_rotate_key(const AttestdArgs *a, AttestdWorld *w, char **reterr);
/* Decrypts everything, and prints what cannot be decrypted. */
_warn_unused_result_ int attestd_check_store(const AttestdWorld *w, int *ret_status, char **reterr);
/* Verifies the audit trail and prints it. */
_warn_unused_result_ int attestd_audit(const AttestdWorld *w, int *ret_status, char **reterr);
/* Copies the store of --migrate-from= into the one that is open. */
_warn_unused_result_ int attestd_migrate(const AttestdArgs *a, AttestdWorld *w, char **reterr);
/* State directory, database, key, AMD's certificates; with --dev an owner with a token in a file. */
_warn_unused_result_ int attestd_world_open(const AttestdArgs *a, AttestdWorld *ret, char **reterr);
/* ASK and ARK of each --certs= file; *ret is owned. */
_warn_unused_result_ int attestd_load_collateral(
                const AttestdArgs *a, ServiceCollateral **ret, size_t *ret_n, char **reterr);
/* Trust anchors and certificates for SNP, as the options say. */
_warn_unused_result_ int attestd_load_snp(const AttestdArgs *a, AttestdWorld *w, char **reterr);
/* AMD's anchors, or those of --insecure-snp-root. */
_warn_unused_result_ int attestd_load_snp_trust(const AttestdArgs *a, SnpTrust *ret, char **reterr);
void attestd_snp_done(AttestdWorld *w);
/* Trust anchor and collateral for TDX, likewise. */
/* Intel's root, or that of --insecure-tdx-root; *ret is owned. */
_warn_unused_result_ int attestd_load_tdx_root(const AttestdArgs *a, Certificate **ret, char **reterr);
_warn_unused_result_ int attestd_load_tdx(const AttestdArgs *a, AttestdWorld *w, char **reterr);
/* The files of --tdx-collateral= in place of those of before, which stay on failure. */
_warn_unused_result_ int attestd_load_tdx_collateral(const AttestdArgs *a, AttestdWorld *w, char **reterr);
void attestd_tdx_done(AttestdWorld *w);
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

/* Answers until it is told to end. */
_warn_unused_result_ int attestd_serve(const AttestdArgs *a, AttestdWorld *w, char **reterr);
/* The listener for monitoring; `ends`: whether the service is being stopped. *ret_address is owned. */
_warn_unused_result_ int attestd_monitor(
                const AttestdArgs *a, AttestdMonitor *m, char **ret_address, char **reterr);
void attestd_monitor_done(AttestdMonitor *m);
/* Before anything secret is read: the child keeps what is in memory now. */
_warn_unused_result_ int attestd_fetch_start(const AttestdArgs *a, AttestdFetch *f, char **reterr);
void attestd_fetch_done(AttestdFetch *f);
/* Before anything secret is read, as above. */
_warn_unused_result_ int attestd_via_start(const AttestdArgs *a, AttestdVia *v, char **reterr);
void attestd_via_done(AttestdVia *v);
/* The service listens at this address now. */
_warn_unused_result_ int attestd_via_begin(const AttestdVia *v, const char *address);
/* As Service.fetch. Never waits. */
int attestd_fetch_ask(void *userdata, const char *what, const char *peer, unsigned *ret_seconds);
/* Gives up everything that serving does not need; for good. */
_warn_unused_result_ int attestd_confine(const AttestdArgs *a, const AttestdWorld *w, char **reterr);
