/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-kds-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "strutil.h"

/* One request to the key service, and its answer. */
typedef struct Question {
        const SnpKds *kds;
        char url[1024];
        uint8_t *body; /* owned */
        size_t size;
} Question;

static void question_done(Question *q) {
        free(q->body);
}

static int once(void *context, unsigned *ret_status, unsigned *ret_retry_after, char **reterr) {
        Question *q = context;

        free(TAKE_PTR(q->body));
        return q->kds->get(q->kds->userdata, q->url, SNP_KDS_ANSWER_MAX, ret_status, ret_retry_after,
                        &q->body, &q->size, reterr);
}

/* One answer of the service, with the patience that is left. */
static int ask(const SnpKds *k, const SnpKdsItem *item, int dir, unsigned patience, uint8_t **ret,
                size_t *ret_size, char **reterr) {
        const RemotePace pace = { .who = SNP_KDS_ORIGIN,
                .url = k->url ?: SNP_KDS_URL,
                .vendor = SNP_KDS_URL,
                .dir = dir,
                .patience = patience,
                .clock = k->clock,
                .wait = k->wait,
                .userdata = k->userdata };
        _cleanup_(question_done) Question q = { .kds = k };
        _cleanup_free_ char *path = NULL;
        int r = snp_kds_path(item, &path, reterr);

        if (r < 0)
                return r;
        r = snprintf(q.url, sizeof(q.url), "%s%s", pace.url, path);
        if (r < 0 || (size_t) r >= sizeof(q.url))
                return error_set(reterr, -ENAMETOOLONG, "the key service's address is too long");
        r = remote_ask(&pace, once, &q, reterr);
        if (r == 404)
                return error_set(reterr, -ENOENT, "AMD's key service does not know %s%s", path,
                                item->kind != SNP_KDS_VCEK
                                                ? ""
                                                : ": not the reported TCB, not a production part, or the wrong generation");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(q.body);
        *ret_size = q.size;
        return 0;
}

/* Of a service that nobody can verify the answers are used, if at all, for this one time. */
static int accept_answer(const SnpKds *k, int dir, const char *name, const void *p, size_t n,
                const SnpCollateral *pool, char **reterr) {
        int r = k->trust ? snp_kds_cache_judge(k, dir, name, p, n, pool) : -ENODATA;

        if (r == -ENOMEM)
                return r;
        if (r == 0 && !k->unverified)
                return error_set(reterr, -EPROTO,
                                "the answer of %s is not %s, or does not verify up to the pinned root key",
                                k->url ?: SNP_KDS_URL, name);
        if (r > 0 && dir >= 0 && snp_kds_cache_is_older(k, dir, name, p, n) > 0)
                return error_set(reterr, -EPROTO,
                                "the answer of %s is older than the revocation list in the cache",
                                k->url ?: SNP_KDS_URL);
        /* A cache that cannot be written makes us slow, not wrong. */
        if (r > 0 && dir >= 0)
                (void) !!remote_cache_write(dir, name, p, n);
        return 0;
}

static int fetch_locked(const SnpKds *k, const SnpKdsItem *item, int dir, const char *name,
                const SnpCollateral *pool, uint8_t **ret, size_t *ret_size, char **reterr) {
        _cleanup_close_ int lock = dir < 0
                        ? -EBADF
                        : openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        _cleanup_free_ uint8_t *p = NULL;
        unsigned patience = k->patience;
        bool outdated;
        size_t n;
        int r;

        if (lock >= 0) {
                int64_t before = k->clock(k->userdata), waited;

                /* The process that held the lock may have fetched this file. The time spent waiting for it counts, too:
                 * otherwise twenty processes in a row would wait twenty times as long for a service that is out of order. */
                if (flock(lock, LOCK_EX) < 0)
                        return -errno;
                r = snp_kds_cache_read(k, dir, name, pool, &p, &n, &outdated);
                if (r == -ENOMEM)
                        return r;
                if (r == 0 && !outdated) {
                        *ret = TAKE_PTR(p);
                        *ret_size = n;
                        return 0;
                }
                free(TAKE_PTR(p));
                waited = k->clock(k->userdata) - before;
                patience -= waited > 0 ? (unsigned) MIN(waited, (int64_t) patience) : 0;
        }
        r = ask(k, item, dir, patience, &p, &n, reterr);
        if (r == 0)
                r = accept_answer(k, dir, name, p, n, pool, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        *ret_size = n;
        return 0;
}

static int fetch_bytes(const SnpKds *k, const SnpKdsItem *item, const char *name, const SnpCollateral *pool,
                uint8_t **ret, size_t *ret_size, char **reterr) {
        _cleanup_close_ int dir = k->cache && k->trust ? remote_cache_open(k->cache) : -EBADF;
        _cleanup_free_ uint8_t *cached = NULL;
        bool outdated = false;
        size_t n = 0;
        int r = dir < 0 ? -ENOENT : snp_kds_cache_read(k, dir, name, pool, &cached, &n, &outdated);

        if (r == -ENOMEM)
                return r;
        if (!cached || outdated) {
                if (k->offline || !k->get)
                        r = error_set(reterr, -ENOENT,
                                        "%s is not in the cache%s%s, and --offline forbids asking AMD's key service",
                                        name, k->cache ? " " : "", k->cache ?: "");
                else {
                        r = fetch_locked(k, item, dir, name, pool, ret, ret_size, reterr);
                        if (r == 0 || r == -ENOMEM)
                                return r;
                        r = error_set(reterr, -ENOENT, "cannot fetch %s: %s", name, strerror(-r));
                }
                /* A list whose time is over says less than a current one, but what it revokes is revoked. */
                if (!cached)
                        return r;
        }
        *ret = TAKE_PTR(cached);
        *ret_size = n;
        return 0;
}

int snp_kds_fetch(const SnpKds *k, const SnpKdsItem *item, SnpCollateral *pool, char **reterr) {
        _cleanup_free_ char *name = NULL, *origin = NULL;
        _cleanup_free_ uint8_t *p = NULL;
        size_t n;
        int r;

        r = snp_kds_file(item, &name, reterr);
        if (r < 0)
                return r == -ENOMEM ? r : -ENOENT;
        r = fetch_bytes(k, item, name, pool, &p, &n, reterr);
        if (r < 0)
                return r;
        if (asprintf(&origin, SNP_KDS_ORIGIN " (%s)", name) < 0) {
                origin = NULL;
                return -ENOMEM;
        }
        r = snp_collateral_add(pool, p, n, origin, /* named= */ false, reterr);
        return r < 0 && r != -ENOMEM ? error_prefix(reterr, -ENOENT, "%s", origin) : r;
}
