/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The service without a network: requests in, replies out, state in the store. Clock, random numbers and what is believed
 * about platforms are parameters.
 *
 *      GET    /, /health                      anybody: what this service offers; that it works
 *      POST   /vm/ID                          owner: registers
 *      GET    /vm, /vm/ID, /vm/ID/events      owner: lists, shows without secrets, tells what happened
 *      PUT    /vm/ID                          owner: says anew
 *      DELETE /vm/ID                          owner: forgets, with all launches
 *      GET    /vm/ID/launches                 owner: lists them
 *      POST   /vm/ID/launches/LAUNCH/confirm  owner: lets a held launch have its secrets
 *      DELETE /vm/ID/launches/LAUNCH          owner: ends one that has not got them
 *      POST   /firmware                       owner: uploads firmware, for registrations that name its hash
 *      GET    /firmware                       owner: lists them
 *      DELETE /firmware/SHA256                owner: forgets one
 *      POST   /vm/ID/launch                   host: platform in, session out
 *      POST   /vm/ID/validate                 host: measurement in, secret packet out
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-anchors.h"
#include "attest-chain.h"
#include "attestd-cache.h"
#include "attestd-rate.h"
#include "attestd-registration.h"
#include "attestd-reply.h"
#include "attestd-store.h"
#include "attestd-vault.h"
#include "crypto-random.h"
#include "macro.h"
#include "snp-trust.h"

#define BODY_SIZE_MAX      (64u * 1024)
#define FIRMWARE_BODY_MAX  (16u * 1024 * 1024)
#define FIRMWARES_MAX      16u       /* of one owner */
#define LAUNCH_OPEN_MAX    64u       /* of one registration */
#define LAUNCH_TTL_SECONDS (15 * 60) /* from session to measurement: a start takes seconds */
#define LAUNCH_FAILURES    3u
#define LAUNCH_HELD_MAX    64u /* of one registration */

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
        /* Asks for the certificate of a chip (hexadecimal) to be put into cek_store, without waiting: 1 it may come, 0 it is not to
         * be had. NULL: nobody fetches. */
        int (*cek_fetch)(void *userdata, const char *id);
        void *cek_fetch_data;
        /* SNP: trust anchors, which keep what they have seen; certificates at hand (PEM, DER); the directory where `cvmspawn report
         * --cache=` keeps those of AMD's key service, or NULL. */
        SnpTrust *snp_trust;
        const ServiceFile *snp_files; /* borrowed */
        size_t n_snp_files;
        const char *kds_cache;
        /* Asks for a file of AMD's key service to be put into kds_cache, "NAME PATH", without waiting: as cek_fetch. */
        int (*kds_fetch)(void *userdata, const char *what);
        void *kds_fetch_data;
        RandomFunction random;
        void *random_data;
        int64_t (*now)(void *userdata); /* seconds since 1970 */
        void *now_data;
        PlatformCache *platforms; /* weak: those that were found authentic; NULL: each is verified each time */
        bool hosts_certified;     /* hosts need a certificate */
        RateTable *rate; /* weak: of launches and of validations, each by registration; NULL: as often as they like */
};

/* Always gives a reply: what fails inside is status 500 with reply->error set. */
void service_handle(const Service *s, Request *request, Reply *ret);
/* How much body the request may have; 0 if it will be refused anyway. */
size_t service_body_max(const char *method, const char *path);
/* Uploads are taken from owners only, as files: whether the request is one, and it would not be refused for who asks. 1, 0 or -errno. */
_warn_unused_result_ int service_takes_upload(const Service *s, const Request *request);

/* The handlers: 0, or -errno (status 500). */
typedef int (*ServiceHandler)(const Service *s, const Request *q, Reply *reply);
/* What there is to ask for (attestd-openapi.json describes it). */
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
int handle_launch(const Service *s, const Request *q, Reply *reply);
int handle_validate(const Service *s, const Request *q, Reply *reply);

/* For the handlers. 1: go on; 0: the reply is made; -errno. */
_warn_unused_result_ int service_read_body(const Request *q, Json **ret, Reply *reply);
_warn_unused_result_ int service_load(
                const Service *s, const Request *q, StoreVm *ret_vm, Registration *ret, Reply *reply);
/* A member that must be base64, with `min` to `max` bytes; *ret is owned. */
_warn_unused_result_ int service_base64(const Json *j, const char *name, size_t min, size_t max,
                uint8_t **ret, size_t *ret_size, Reply *reply);
/* Is this platform one that the registration accepts? */
_warn_unused_result_ int service_platform(
                const Service *s, const Registration *reg, const Json *body, SevCert *ret_pdh, Reply *reply);
/* Fills reg->computed. -EINVAL with a sentence. */
_warn_unused_result_ int service_digests(const Service *s, int64_t owner, Registration *reg, char **reterr);
/* Lets a proven launch wait for its owner: 202, or 429 if too many wait. 0 or -errno. */
_warn_unused_result_ int service_hold(
                const Service *s, const Registration *reg, const StoreLaunch *l, Reply *reply);
/* Has it waited too long, for its measurement or its owner? */
bool service_launch_expired(const Service *s, const Registration *reg, const StoreLaunch *l);
/* What the host believes to launch must not differ from what was registered. 1, or the reply is made. */
_warn_unused_result_ int service_check_wishes(const Registration *reg, const Json *body, Reply *reply);
/* A new launch with its keys, which are sealed here. */
_warn_unused_result_ int service_store_launch(const Service *s, const Request *q, const Registration *reg,
                const void *keys, size_t keys_size, StoreLaunch *ret);
/* The launch that a host names. 1: it waits for its secrets; 2: it has given them to other evidence, which is a failure; 0: the reply is
 * made, maybe with the stored packet. */
_warn_unused_result_ int service_find_launch(const Service *s, const Registration *reg, const char *vm,
                const uint8_t id[static LAUNCH_ID_SIZE], const uint8_t evidence[static LAUNCH_MEASURE_SIZE],
                StoreLaunch *ret, Reply *reply);
/* Stores evidence, header and payload of *l, once, and sends them; or holds, or refuses as too many. 0 or -errno. */
_warn_unused_result_ int service_release(
                const Service *s, const Registration *reg, StoreLaunch *l, Reply *reply);
_warn_unused_result_ int service_send_packet(const Registration *reg, const StoreLaunch *l, Reply *reply);
/* The two requests for a registration that is SNP's: the reply is made, or -errno. */
_warn_unused_result_ int service_launch_snp(
                const Service *s, const Request *q, const Registration *reg, Reply *reply);
_warn_unused_result_ int service_validate_snp(const Service *s, const Request *q, const StoreVm *v,
                const Registration *reg, const Json *body, Reply *reply);
/* SHA-256 of a bearer token, as the store knows it. */
_warn_unused_result_ int service_token_hash(
                const char *token, size_t n, uint8_t ret[static STORE_TOKEN_HASH_SIZE]);
int64_t service_now(const Service *s);
