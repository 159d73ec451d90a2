/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the service needs: state directory, database, keys, AMD's certificates. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "atomic-file.h"
#include "attestd-tls.h"
#include "attestd.h"
#include "crypto-random.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "platform.h"
#include "strutil.h"

#define RATE_BURST_SECONDS 8u
#define PEM_SIZE_MAX       (64u * 1024)
#define LOCK_TRIES         1000u /* of 10 ms */
#define STATE_DEFAULT      "/var/lib/cvmspawn-attestd"
#define DEV_TEMPLATE       "/tmp/cvmspawn-attestd-XXXXXX"

void attestd_world_done(AttestdWorld *w) {
        store_free(w->store);
        vault_done(&w->vault);
        free(w->collateral);
        attestd_snp_done(w);
        attestd_tdx_done(w);
        free(w->state);
        free(w->store_name);
        free(w->host_ca);
        free(w->refusals);
        throwaway_server_done(&w->tls);
        *w = (AttestdWorld) {};
}

static int64_t clock_now(void *userdata) {
        Store *store = userdata;

        return store->ops->now ? store->ops->now(store) : (int64_t) time(NULL);
}

static uint64_t clock_usec(void *userdata) {
        struct timespec t;

        (void) userdata;
        return clock_gettime(CLOCK_MONOTONIC, &t) < 0
                        ? 0
                        : (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static int open_rate(const AttestdArgs *a, AttestdWorld *w) {
        w->rate = (RateTable) {
                .per_second = a->rate,
                .burst = (uint64_t) a->rate * RATE_BURST_SECONDS,
                .usec = clock_usec,
        };
        return crypto_random(NULL, (uint8_t *) &w->rate.seed, sizeof(w->rate.seed));
}

static int in_state(const AttestdWorld *w, const char *name, char **ret) {
        if (asprintf(ret, "%s/%s", w->state, name) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

DEFINE_TRIVIAL_CLEANUP_FUNC(DIR *, closedir);

static bool is_ours(const struct stat *st) {
        return st->st_uid == geteuid() || st->st_uid == 0;
}

/* Another user who owns the directory, or a file in it, could read the secrets or replace the registrations. */
static int check_state(const char *path, char **reterr) {
        _cleanup_(closedirp) DIR *d = opendir(path);
        const struct dirent *e;
        struct stat st;

        if (!d || fstat(dirfd(d), &st) < 0)
                return error_set(reterr, -errno, "cannot read the state directory '%s': %s", path,
                                strerror(errno));
        if (!is_ours(&st))
                return error_set(reterr, -EPERM,
                                "the state directory '%s' belongs to user %u: run cvmspawn-attestd as that user, or use another --state=",
                                path, (unsigned) st.st_uid);
        if (st.st_mode & (S_IWGRP | S_IWOTH))
                return error_set(reterr, -EPERM,
                                "other users can write to the state directory '%s': chmod 700 it", path);
        while ((e = readdir(d))) {
                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                        if (errno == ENOENT) /* SQLite's, of a service that runs */
                                continue;
                        return -errno;
                }
                if (!is_ours(&st))
                        return error_set(reterr, -EPERM,
                                        "'%s/%s' belongs to user %u: chown it to the user of cvmspawn-attestd only if you know how it came there",
                                        path, e->d_name, (unsigned) st.st_uid);
        }
        return 0;
}

static int open_state(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        const char *given = a->state ?: getenv("STATE_DIRECTORY");
        int r = 0;

        w->state = strdup(given ? given : a->dev ? DEV_TEMPLATE : STATE_DEFAULT);
        if (!w->state)
                return -ENOMEM;
        if (!given && a->dev) {
                if (!mkdtemp(w->state))
                        r = -errno;
        } else if (!a->store && (a->audit || a->check_store || a->rotate_key) && access(w->state, F_OK) < 0)
                return error_set(reterr, -errno, "--state: '%s': %s: there is nothing to look at", w->state,
                                strerror(errno));
        else if (mkdir(w->state, 0700) < 0 && errno != EEXIST)
                r = -errno;
        return r < 0 ? error_set(reterr, r, "cannot create the state directory '%s': %s", w->state,
                                       strerror(-r))
                     : check_state(w->state, reterr);
}

/* Services that start at once would each make database and key: one after another. */
static int lock_state(const char *path, int *ret, char **reterr) {
        _cleanup_close_ int fd = fd_open(path, O_RDONLY | O_DIRECTORY, 0);

        if (fd < 0)
                return error_set(
                                reterr, fd, "cannot read the state directory '%s': %s", path, strerror(-fd));
        for (unsigned i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return error_set(reterr, -errno, "cannot lock the state directory '%s': %s", path,
                                        strerror(errno));
                if (i == LOCK_TRIES)
                        return error_set(reterr, -EBUSY,
                                        "another service has been opening the state directory '%s' for %u s: end it, or use another --state=",
                                        path, LOCK_TRIES / 100);
                (void) usleep(10 * 1000);
        }
        *ret = TAKE_FD(fd);
        return 0;
}

static int open_database(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        _cleanup_close_ int lock = -EBADF;
        int r = lock_state(w->state, &lock, reterr);

        if (r >= 0)
                r = attestd_open_store(a, w, reterr);
        /* A store that is filled gets its key with its rows. */
        return r < 0 || a->migrate_from ? r : attestd_open_vault(a, w, reterr);
}

/* Each file is one generation: an ASK and an ARK. */
int attestd_load_collateral(const AttestdArgs *a, ServiceCollateral **ret, size_t *ret_n, char **reterr) {
        _cleanup_free_ ServiceCollateral *found =
                        calloc(MAX(strv_length(a->certs), (size_t) 1), sizeof(ServiceCollateral));
        size_t n = 0;

        if (!found)
                return -ENOMEM;
        STRV_FOREACH(path, a->certs) {
                _cleanup_free_ SevChain *c = calloc(1, sizeof(SevChain));
                const PlatformArgs none = {};
                char *const one[] = { *path, NULL };
                int r;

                if (!c)
                        return -ENOMEM;
                r = platform_load(&none, one, c, reterr);
                if (r < 0)
                        return r;
                if (!c->has_ask || !c->has_ark)
                        return error_set(reterr, -EINVAL,
                                        "'%s' does not contain an ASK and an ARK; use AMD's ask_ark file of the generation",
                                        *path);
                found[n++] = (ServiceCollateral) { c->ask, c->ark };
        }
        *ret = TAKE_PTR(found);
        *ret_n = n;
        return 0;
}

int attestd_world_open(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        int r;

        r = open_state(a, w, reterr);
        if (r >= 0)
                r = open_database(a, w, reterr);
        if (r >= 0)
                r = attestd_load_collateral(a, &w->collateral, &w->n_collateral, reterr);
        if (r >= 0 && a->dev)
                r = attestd_add_dev_owner(w, reterr);
        if (r >= 0 && a->insecure_root)
                r = platform_load_root(a->insecure_root, &w->root, reterr);
        if (r >= 0)
                r = attestd_load_snp(a, w, reterr);
        if (r >= 0)
                r = attestd_load_tdx(a, w, reterr);
        if (r >= 0)
                r = open_rate(a, w);
        if (r < 0)
                return r;
        w->refusals = calloc(1, sizeof(Refusals));
        if (!w->refusals)
                return -ENOMEM;
        w->metrics.usec = clock_usec;
        w->own = (TrustAnchors) { &w->root, 1 };
        w->service = (Service) {
                .store = w->store,
                .vault = &w->vault,
                .anchors = a->insecure_root ? &w->own : trust_anchors_amd(),
                .collateral = w->collateral,
                .n_collateral = w->n_collateral,
                .cek_store = a->cek_store,
                .snp_trust = &w->snp_trust,
                .snp_files = w->snp_files,
                .n_snp_files = w->n_snp_files,
                .kds_cache = a->kds_cache,
                .td_trust = &w->td_trust,
                .td_root = w->td_root,
                .td_files = w->td_files,
                .n_td_files = w->n_td_files,
                .crl = a->crl ? snp_crl_mode_from_string(a->crl) : SNP_CRL_IF_AVAILABLE,
                .rekey = attestd_rekey,
                .rekey_data = w,
                .random = crypto_random,
                .now = clock_now,
                .now_data = w->store,
                .hosts_certified = a->host_ca,
                .rate = &w->rate,
                .metrics = &w->metrics,
                .refusals = w->refusals,
                .platforms = a->no_cache ? NULL : &w->platforms,
        };
        return 0;
}

static int read_pem(const char *option, const char *path, char **ret, char **reterr) {
        size_t size;
        int r;

        if (!path)
                return error_set(reterr, -EINVAL,
                                "%s=FILE is required (or --dev, for a trial on this machine)", option);
        r = file_read_all(path, PEM_SIZE_MAX, ret, &size);
        return r < 0 ? error_set(reterr, r, "%s: cannot read '%s': %s", option, path, strerror(-r)) : 0;
}

/* For the owner's page. What cannot be read here is refused when the server starts. */
static int64_t expiry_of(const char *pem) {
        int64_t t;

        return pem && tls_expiry(pem, &t) >= 0 ? t : 0;
}

static int load_tls(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (a->host_ca) {
                r = read_pem("--host-ca", a->host_ca, &w->host_ca, reterr);
                if (r < 0)
                        return r;
        }
        if (a->tls_cert || !a->dev) {
                r = read_pem("--tls-cert", a->tls_cert, &w->tls.certificate, reterr);
                return r < 0 ? r : read_pem("--tls-key", a->tls_key, &w->tls.key, reterr);
        }
        r = throwaway_server_new(&w->tls);
        if (r >= 0)
                r = in_state(w, "ca.pem", &path);
        if (r < 0)
                return r;
        r = file_write_atomic(path, w->tls.ca, strlen(w->tls.ca), 0644, ATOMIC_FILE_REPLACE);
        return r < 0 ? error_set(reterr, r, "cannot write '%s': %s", path, strerror(-r)) : 0;
}

int attestd_load_tls(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        int r = a->plain ? 0 : load_tls(a, w, reterr);

        if (r < 0)
                return r;
        w->service.tls_until = expiry_of(w->tls.certificate);
        w->service.host_ca_until = expiry_of(w->host_ca);
        return 0;
}
