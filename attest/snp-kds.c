/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-kds-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "strutil.h"

#define BACKOFF_DEFAULT 10u /* seconds: what the service's limit is known to be */
#define BACKOFF_OUTAGE  60u
#define RETRY_FILE_MAX  32u

/* "retry-at" holds the second from which any program that shares the cache may ask the service again; each mirror has its own file,
 * since a mirror is what one turns to while AMD's service is out of order. */
static void retry_file(const SnpKds *k, char ret[static RETRY_FILE_MAX]) {
        uint32_t h = 0x811c9dc5u; /* FNV-1a: names files, nothing more */

        for (const char *p = k->url ?: ""; *p; p++)
                h = (h ^ (uint8_t) *p) * 0x01000193u;
        (void) snprintf(ret, RETRY_FILE_MAX,
                        k->url && !streq(k->url, SNP_KDS_URL) ? "retry-at-%08" PRIx32 : "retry-at", h);
}

static unsigned seconds_to_wait(const SnpKds *k, int dir) {
        char name[RETRY_FILE_MAX];
        retry_file(k, name);
        _cleanup_close_ int fd = dir < 0 ? -EBADF : openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        _cleanup_free_ char *s = NULL;
        int64_t now = k->clock(k->userdata);
        uint64_t at;
        size_t n;

        if (fd < 0 || fd_read_all(fd, 64, &s, &n) < 0 || parse_u64(s, &at) < 0 || now < 0 ||
                        at <= (uint64_t) now)
                return 0;
        return (unsigned) MIN(at - (uint64_t) now, (uint64_t) SNP_KDS_BACKOFF_MAX);
}

static void note_backoff(const SnpKds *k, int dir, unsigned seconds) {
        char s[32], name[RETRY_FILE_MAX];
        int n = snprintf(
                        s, sizeof(s), "%" PRId64, k->clock(k->userdata) + MIN(seconds, SNP_KDS_BACKOFF_MAX));

        retry_file(k, name);
        /* Not being able to remember it costs the others a refused request, nothing more. */
        if (dir >= 0 && n > 0 && snp_kds_cache_write(dir, name, s, (size_t) n) < 0)
                return;
}

/* One answer of the service, with the patience that is left. */
static int ask(const SnpKds *k, const SnpKdsItem *item, int dir, unsigned patience, uint8_t **ret,
                size_t *ret_size, char **reterr) {
        _cleanup_free_ char *path = NULL;
        char url[1024];
        int r;

        r = snp_kds_path(item, &path, reterr);
        if (r < 0)
                return r;
        r = snprintf(url, sizeof(url), "%s%s", k->url ?: SNP_KDS_URL, path);
        if (r < 0 || (size_t) r >= sizeof(url))
                return error_set(reterr, -ENAMETOOLONG, "the key service's address is too long");

        for (;;) {
                unsigned status = 0, retry_after = 0, wait = seconds_to_wait(k, dir);
                _cleanup_free_ uint8_t *body = NULL;
                size_t n;

                if (wait > patience)
                        return error_set(reterr, -EAGAIN,
                                        "AMD's key service asks to slow down, or did not answer: the next request is possible in %u s",
                                        wait);
                if (wait > 0) {
                        k->wait(k->userdata, wait);
                        patience -= wait;
                }
                r = k->get(k->userdata, url, SNP_KDS_ANSWER_MAX, &status, &retry_after, &body, &n, reterr);
                if (r == -ETIMEDOUT)
                        note_backoff(k, dir, BACKOFF_OUTAGE); /* nobody else need wait for it so long */
                if (r < 0)
                        return r;
                if (status == 200) {
                        *ret = TAKE_PTR(body);
                        *ret_size = n;
                        return 0;
                }
                if (status == 404)
                        return error_set(reterr, -ENOENT, "AMD's key service does not know %s%s", path,
                                        item->kind != SNP_KDS_VCEK
                                                        ? ""
                                                        : ": not the reported TCB, not a production part, or the wrong generation");
                if (status != 429 && status < 500)
                        return error_set(reterr, -EPROTO, "%s: unexpected answer %u", url, status);
                retry_after = retry_after ?: status == 429 ? BACKOFF_DEFAULT : BACKOFF_OUTAGE;
                note_backoff(k, dir, retry_after);
                if (retry_after > patience)
                        return error_set(reterr, -EAGAIN,
                                        "AMD's key service %s (answer %u); try again in %u s",
                                        status == 429 ? "limits the rate of requests" : "has a failure",
                                        status, MIN(retry_after, SNP_KDS_BACKOFF_MAX));
                if (dir < 0) {
                        k->wait(k->userdata, retry_after);
                        patience -= retry_after;
                }
        }
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
                (void) !!snp_kds_cache_write(dir, name, p, n);
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
        _cleanup_close_ int dir = k->cache && k->trust ? snp_kds_cache_open(k->cache) : -EBADF;
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
