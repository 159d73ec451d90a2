/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The service without a network: requests in, replies out, state in the store. Clock, random numbers and trust anchors are parameters.
 *
 *      GET    /, /health                      anybody: what this service offers; whether it works
 *      POST   /vm/ID                          owner: registers
 *      GET    /vm, /vm/ID, /vm/ID/events      owner: lists, shows without secrets, shows the audit log
 *      PUT    /vm/ID                          owner: replaces
 *      DELETE /vm/ID                          owner: deletes, with all launches
 *      GET    /vm/ID/launches                 owner: lists them
 *      POST   /vm/ID/launches/LAUNCH/confirm  owner: lets a held launch have its secrets
 *      DELETE /vm/ID/launches/LAUNCH          owner: ends one that has not received them
 *      POST   /firmware                       owner: uploads firmware, for registrations that name its hash
 *      GET    /firmware                       owner: lists it
 *      DELETE /firmware/SHA256                owner: deletes one
 *      GET    /refusals                       owner: why hosts were refused lately
 *      GET    /certificates                   owner: until when certificates and revocation lists are valid
 *      POST   /vm/ID/launch                   host: platform in, session out
 *      POST   /vm/ID/validate                 host: measurement in, secret packet out
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "attest-anchors.h"
#include "attest-chain.h"
#include "attestd-cache.h"
#include "attestd-metrics.h"
#include "attestd-rate.h"
#include "attestd-refusals.h"
#include "attestd-registration.h"
#include "attestd-reply.h"
#include "attestd-store.h"
#include "attestd-vault.h"
#include "crypto-random.h"
#include "macro.h"
#include "snp-trust.h"
#include "snp-verify.h"

#define BODY_SIZE_MAX      (64u * 1024)
#define FIRMWARE_BODY_MAX  (16u * 1024 * 1024)
#define FIRMWARES_MAX      16u       /* of one owner */
#define LAUNCH_OPEN_MAX    1024u     /* of one registration, shared fairly between addresses */
#define LAUNCH_TTL_SECONDS (15 * 60) /* from session to measurement: a start takes seconds */
#define LAUNCH_FAILURES    3u
#define LAUNCH_HELD_MAX    64u /* of one registration */

typedef struct TdTrust TdTrust; /* td-verify.h */

/* AMD's certificates of one generation, which hosts need not send. */
typedef struct ServiceCollateral {
        AmdCert ask, ark;
} ServiceCollateral;

typedef struct ServiceFile {
        const char *name;
        const void *data; /* borrowed */
        size_t size;
} ServiceFile;

struct Service {
        Store *store; /* weak, as are the next two */
        const Vault *vault;
        const TrustAnchors *anchors;
        const ServiceCollateral *collateral; /* borrowed */
        size_t n_collateral;
        const char *cek_store; /* directory with cek-ID.cert as `cvmspawn cert-chain` keeps them, or NULL */
        /* SNP: trust anchors, which keep what they have seen; available certificates (PEM, DER); the directory where `cvmspawn report
         * --cache=` keeps those of AMD's key service, or NULL. */
        SnpTrust *snp_trust;
        const ServiceFile *snp_files; /* borrowed */
        size_t n_snp_files;
        const char *kds_cache;
        SnpCrlMode crl; /* revocation lists: AMD's, from snp_files and kds_cache; Intel's, from td_files and kds_cache */
        /* TDX: Intel's root, and what Intel says about processors and enclaves. */
        const TdTrust *td_trust;
        const Certificate *td_root; /* weak: that root, for what is kept in kds_cache; NULL: nothing of Intel's is */
        const ServiceFile *td_files; /* borrowed */
        size_t n_td_files;
        /* Has a certificate fetched from AMD's key service, without waiting for it: into cek_store by the chip's id (hexadecimal), into
         * kds_cache by "NAME PATH". peer: who needs it, maybe NULL. 1: it may come, ask again after *ret_seconds; 0: it is not
         * available. NULL: nothing is fetched. */
        int (*fetch)(void *userdata, const char *what, const char *peer, unsigned *ret_seconds);
        void *fetch_data;
        /* Reads the key again, if the store's secrets are encrypted with another one by now. 1: the vault has it; 0: it is the same, or not
         * available. NULL: never. */
        int (*rekey)(void *userdata);
        void *rekey_data;
        RandomFunction random;
        void *random_data;
        int64_t (*now)(void *userdata); /* seconds since 1970 */
        void *now_data;
        PlatformCache *platforms; /* weak: those that were found authentic; NULL: each is verified each time */
        bool hosts_certified;     /* hosts need a certificate */
        Metrics *metrics;         /* weak, or NULL */
        Refusals *refusals;       /* weak; NULL: not kept */
        int64_t tls_until, host_ca_until; /* the service's certificates; 0: none */
        RateTable *rate; /* weak: of launches and of validations, each by registration; NULL: as often as they like */
};

/* Always gives a reply; an internal failure is status 500 with reply->error set. */
void service_handle(const Service *s, Request *request, Reply *ret);
/* The reply to a request that the service could not look at, for the reason -errno. */
void service_failed(int error, Reply *ret);
/* *ret: how many bytes of body the request may have; 0 if it will be refused anyway. Returns 0 or -ENOMEM. */
_warn_unused_result_ int service_body_max(const char *method, const char *path, size_t *ret);
/* Without one the answer is 404 or 405, whatever the body. */
bool service_has_route(const char *method, const char *path);
/* Uploads are taken from owners only, as files: whether the request is one, and it would not be refused for who asks. 1, 0 or -errno. */
_warn_unused_result_ int service_takes_upload(const Service *s, const Request *request);

/* The handlers: 0, or -errno (status 500). */
typedef int (*ServiceHandler)(const Service *s, const Request *q, Reply *reply);
/* One request that exists (attestd-openapi.json describes them). */
typedef struct ServiceRoute {
        const char *method, *path; /* "*" stands for an id: of a registration, then of a launch */
        size_t max_body;
        bool for_owner;
        ServiceHandler handler;
        bool upload; /* the body is a file, taken from owners only */
} ServiceRoute;

const ServiceRoute *service_routes(size_t *ret_n);

int handle_capabilities(const Service *s, const Request *q, Reply *reply);
int handle_health(const Service *s, const Request *q, Reply *reply);
int handle_register(const Service *s, const Request *q, Reply *reply);
int handle_list(const Service *s, const Request *q, Reply *reply);
int handle_show(const Service *s, const Request *q, Reply *reply);
int handle_events(const Service *s, const Request *q, Reply *reply);
int handle_update(const Service *s, const Request *q, Reply *reply);
int handle_launches(const Service *s, const Request *q, Reply *reply);
int handle_confirm(const Service *s, const Request *q, Reply *reply);
int handle_reject(const Service *s, const Request *q, Reply *reply);
int handle_firmware_add(const Service *s, const Request *q, Reply *reply);
int handle_firmware_list(const Service *s, const Request *q, Reply *reply);
int handle_firmware_delete(const Service *s, const Request *q, Reply *reply);
int handle_delete(const Service *s, const Request *q, Reply *reply);
int handle_refusals(const Service *s, const Request *q, Reply *reply);
int handle_certificates(const Service *s, const Request *q, Reply *reply);
int handle_launch(const Service *s, const Request *q, Reply *reply);
int handle_validate(const Service *s, const Request *q, Reply *reply);

/* Where the keys of a launch and the secrets of a registration are sealed. */
static inline VaultPlace service_launch_place(const StoreLaunch *l) {
        return (VaultPlace) { .purpose = "launch", .context = l->id, .context_size = sizeof(l->id) };
}

static inline VaultPlace service_secrets_place(const char *vm) {
        return (VaultPlace) { .purpose = "secrets", .context = vm, .context_size = strlen(vm) };
}

/* A request for a registration, on its way through the handlers. */
typedef struct ServiceCall {
        const Service *s;
        const Request *q;
        StoreVm vm; /* owned, as are the next two */
        Registration reg;
        Json *body;
        Reply *reply;
} ServiceCall;

void service_call_done(ServiceCall *c);

/* For the handlers. 1: go on; 0: the reply is made; -errno. */
_warn_unused_result_ int service_read_body(const Request *q, Json **ret, Reply *reply);
/* The registration that the path names; the body is not read. */
_warn_unused_result_ int service_load(ServiceCall *c);
/* A member that must be base64, with `min` to `max` bytes; *ret is owned. */
typedef struct Base64Member {
        const char *name;
        size_t min, max;
} Base64Member;
_warn_unused_result_ int service_base64(
                const Json *j, const Base64Member *m, uint8_t **ret, size_t *ret_size, Reply *reply);
/* Is this platform authentic, and one that the registration accepts? */
_warn_unused_result_ int service_platform(const ServiceCall *c, SevCert *ret_pdh);
/* Has it waited too long, for its measurement or its owner? */
bool service_launch_expired(const Service *s, const Registration *reg, const StoreLaunch *l);
/* What the host intends to launch must be what was registered, as far as it says. */
_warn_unused_result_ int service_check_request(const ServiceCall *c);
/* A new launch with its keys, which are sealed here. 0 or -errno. */
_warn_unused_result_ int service_store_launch(
                const ServiceCall *c, const void *keys, size_t keys_size, StoreLaunch *ret);
/* The launch that a host names. 1: it waits for its secrets; 2: it has received them for other evidence; 0: the reply is made, maybe with
 * the stored packet. */
_warn_unused_result_ int service_find_launch(const ServiceCall *c, const uint8_t id[static LAUNCH_ID_SIZE],
                const uint8_t evidence[static LAUNCH_MEASURE_SIZE], StoreLaunch *ret);
/* Stores evidence, header and payload of *l, once, and sends them; or holds, or refuses as too many. 0 or -errno. */
_warn_unused_result_ int service_release(const ServiceCall *c, StoreLaunch *l);
/* Header and payload of SEV and SEV-ES, or of SEV-SNP. */
_warn_unused_result_ int service_send_packet(const ServiceCall *c, const StoreLaunch *l);
/* SHA-256 of a bearer token, as the store knows it. */
_warn_unused_result_ int service_token_hash(
                const char *token, size_t n, uint8_t ret[static STORE_TOKEN_HASH_SIZE]);
int64_t service_now(const Service *s);
