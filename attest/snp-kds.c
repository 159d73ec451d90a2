/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-kds.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"

#define BACKOFF_DEFAULT 10u /* seconds: what the service's limit is known to be */
#define BACKOFF_OUTAGE  60u
#define RETRY_FILE_MAX  32u

/* The service's words for the parts of a TCB, in the order it documents; Turin and later put fmcSPL in front. */
static const struct {
        SnpTcbPart part;
        const char *name;
} spl[] = {
        { SNP_TCB_FMC, "fmcSPL" },
        { SNP_TCB_BOOTLOADER, "blSPL" },
        { SNP_TCB_TEE, "teeSPL" },
        { SNP_TCB_SNP, "snpSPL" },
        { SNP_TCB_MICROCODE, "ucodeSPL" },
};

static int read_identity(const SnpKdsItem *item, char **ret_hwid, SnpTcb *ret_tcb, char **reterr) {
        size_t n = snp_generation_chip_id_size(item->generation);

        if (bytes_are_zero(item->report->chip_id, sizeof(item->report->chip_id)))
                return error_set(reterr, -ENODATA,
                                "the host masks the chip id, so that AMD's key service cannot be asked for "
                                "its key; "
                                "give the VCEK with --leaf");
        if (snp_tcb_decode(item->report->reported_tcb, item->generation, ret_tcb) < 0)
                return error_set(reterr, -EBADMSG, "the reported TCB is not one of %s",
                                snp_generation_product(item->generation));
        *ret_hwid = hex_encode(item->report->chip_id, n);
        return *ret_hwid ? 0 : -ENOMEM;
}

int snp_kds_path(const SnpKdsItem *item, char **ret, char **reterr) {
        static const char *const fixed[] = {
                [SNP_KDS_VCEK_CHAIN] = "/vcek/v1/%s/cert_chain",
                [SNP_KDS_VLEK_CHAIN] = "/vlek/v1/%s/cert_chain",
                [SNP_KDS_VCEK_CRL] = "/vcek/v1/%s/crl",
                [SNP_KDS_VLEK_CRL] = "/vlek/v1/%s/crl",
        };
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *hwid = NULL;
        char separator = '?';
        SnpTcb tcb;
        int r;

        if (item->kind != SNP_KDS_VCEK) {
                const char *kind = fixed[item->kind], *mark = strstr(kind, "%s");

                text_put_n(&t, kind, (size_t) (mark - kind));
                text_put(&t, snp_generation_product(item->generation));
                text_put(&t, mark + 2);
                return text_finish(&t, ret);
        }
        r = read_identity(item, &hwid, &tcb, reterr);
        if (r < 0)
                return r;
        text_putf(&t, "/vcek/v1/%s/%s", snp_generation_product(item->generation), hwid);
        FOREACH_ARRAY(s, spl, ELEMENTSOF(spl))
                if (snp_generation_has_tcb_part(item->generation, s->part)) {
                        text_putf(&t, "%c%s=%02u", separator, s->name, tcb.part[s->part]);
                        separator = '&';
                }
        return text_finish(&t, ret);
}

int snp_kds_file(const SnpKdsItem *item, char **ret, char **reterr) {
        static const char *const fixed[] = {
                [SNP_KDS_VCEK_CHAIN] = "vcek-chain.pem",
                [SNP_KDS_VLEK_CHAIN] = "vlek-chain.pem",
                [SNP_KDS_VCEK_CRL] = "vcek-crl.der",
                [SNP_KDS_VLEK_CRL] = "vlek-crl.der",
        };
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *hwid = NULL;
        uint8_t raw[SNP_TCB_SIZE];
        SnpTcb tcb;
        int r;

        text_putf(&t, "%s-", snp_generation_to_string(item->generation));
        if (item->kind != SNP_KDS_VCEK) {
                text_put(&t, fixed[item->kind]);
                return text_finish(&t, ret);
        }
        r = read_identity(item, &hwid, &tcb, reterr);
        if (r < 0)
                return r;
        snp_tcb_encode(&tcb, item->generation, raw);
        text_putf(&t, "vcek-%s-", hwid);
        for (size_t i = 0; i < sizeof(raw); i++)
                text_putf(&t, "%02x", raw[i]);
        text_put(&t, ".der");
        return text_finish(&t, ret);
}

static bool has_role(const SnpCollateral *c, SnpRole role, SnpGeneration g) {
        for (size_t i = 0; i < c->n_certificates; i++)
                if (c->certificates[i]->role == role && c->certificates[i]->generation == g)
                        return true;
        return false;
}

static bool is_leaf_of(const SnpCertificate *c, const SnpKdsItem *item) {
        SnpTcb tcb;

        return c->role == SNP_ROLE_VCEK && c->generation == item->generation && c->leaf_valid &&
                        memcmp(c->leaf.hwid, item->report->chip_id, c->leaf.hwid_size) == 0 &&
                        snp_tcb_decode(item->report->reported_tcb, item->generation, &tcb) == 0 &&
                        snp_tcb_equal(&tcb, &c->leaf.tcb);
}

/* What was asked for, by what it says of itself, and (revocation lists) current. Whether it is genuine the verifier finds out; but an
 * answer about something else, which a mirror may give, would stay in the cache and be in the way for ever. */
static bool usable(const SnpKds *k, const SnpKdsItem *item, const uint8_t *p, size_t n) {
        SnpCollateral c = {};
        bool ok = snp_collateral_add(&c, p, n, "", /* named= */ false, NULL) == 0;

        switch (item->kind) {
        case SNP_KDS_VCEK:
                ok = ok && c.n_certificates == 1 && is_leaf_of(c.certificates[0], item);
                break;
        case SNP_KDS_VCEK_CHAIN:
        case SNP_KDS_VLEK_CHAIN:
                ok = ok && has_role(&c, SNP_ROLE_ARK, item->generation) &&
                                has_role(&c, item->kind == SNP_KDS_VCEK_CHAIN ? SNP_ROLE_ASK : SNP_ROLE_ASVK,
                                                item->generation);
                break;
        case SNP_KDS_VCEK_CRL:
        case SNP_KDS_VLEK_CRL:
                ok = ok && c.n_crls == 1 && c.n_certificates == 0 && k->now <= c.crls[0].crl->next_update;
                break;
        case _SNP_KDS_KIND_MAX:
        case _SNP_KDS_KIND_INVALID:
        default:
                ok = false;
        }
        snp_collateral_done(&c);
        return ok;
}

static int read_cached(const SnpKds *k, const SnpKdsItem *item, int dir, const char *name, uint8_t **ret,
                size_t *ret_size) {
        _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        _cleanup_free_ char *p = NULL;
        size_t n;
        int r;

        if (fd < 0)
                return -errno;
        r = fd_read_all(fd, SNP_KDS_ANSWER_MAX, &p, &n);
        if (r < 0)
                return r;
        if (!usable(k, item, (uint8_t *) p, n))
                return -ESTALE;
        *ret = (uint8_t *) TAKE_PTR(p);
        *ret_size = n;
        return 0;
}

/* Whole or not at all, also for readers in other processes: a file of its own, then a rename. */
static int write_cached(int dir, const char *name, const void *p, size_t n) {
        _cleanup_close_ int fd = -EBADF;
        char temporary[300];
        int r;

        r = snprintf(temporary, sizeof(temporary), ".%s.%jd", name, (intmax_t) getpid());
        if (r < 0 || (size_t) r >= sizeof(temporary))
                return -ENAMETOOLONG;
        fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return -errno;
        r = fd_write_all(fd, p, n);
        if (r == 0 && renameat(dir, temporary, dir, name) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(dir, temporary, 0);
        return r;
}

/* "retry-at" holds the second from which the service may be asked again, by whoever shares the cache; each mirror has a file of its own,
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
        if (dir >= 0 && n > 0 && write_cached(dir, name, s, (size_t) n) < 0)
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
                                        "AMD's key service asks for patience, or did not answer: the next "
                                        "request is due in %u s",
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
                                                        : ": another TCB than the reported one, a part that "
                                                          "is not "
                                                          "for production, or the wrong generation");
                if (status != 429 && status < 500)
                        return error_set(reterr, -EPROTO, "%s: unexpected answer %u", url, status);
                retry_after = retry_after ?: status == 429 ? BACKOFF_DEFAULT : BACKOFF_OUTAGE;
                note_backoff(k, dir, retry_after);
                if (retry_after > patience)
                        return error_set(reterr, -EAGAIN,
                                        "AMD's key service %s (answer %u); try again in %u s",
                                        status == 429 ? "limits the rate of requests" : "is out of order",
                                        status, MIN(retry_after, SNP_KDS_BACKOFF_MAX));
                if (dir < 0) {
                        k->wait(k->userdata, retry_after);
                        patience -= retry_after;
                }
        }
}

static int fetch_locked(const SnpKds *k, const SnpKdsItem *item, int dir, const char *name, uint8_t **ret,
                size_t *ret_size, char **reterr) {
        _cleanup_close_ int lock = dir < 0
                        ? -EBADF
                        : openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        _cleanup_free_ uint8_t *p = NULL;
        unsigned patience = k->patience;
        size_t n;
        int r;

        if (lock >= 0) {
                int64_t before = k->clock(k->userdata), waited;

                /* Whoever held it may have fetched what we want. Waiting for them was patience, too: twenty who wait in a row for a
                 * service that is out of order would else wait twenty times as long. */
                if (flock(lock, LOCK_EX) < 0)
                        return -errno;
                if (read_cached(k, item, dir, name, ret, ret_size) == 0)
                        return 0;
                waited = k->clock(k->userdata) - before;
                patience -= waited > 0 ? (unsigned) MIN(waited, (int64_t) patience) : 0;
        }
        r = ask(k, item, dir, patience, &p, &n, reterr);
        if (r < 0)
                return r;
        if (!usable(k, item, p, n))
                return error_set(reterr, -EPROTO,
                                "AMD's key service answered with something else than was asked for (%s)",
                                name);
        /* A cache that cannot be written makes us slow, not wrong. */
        if (dir >= 0)
                (void) !!write_cached(dir, name, p, n);
        *ret = TAKE_PTR(p);
        *ret_size = n;
        return 0;
}

static int open_cache(const char *path) {
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

        /* A confined process may not make any, and need not. */
        if (fd < 0 && errno == ENOENT) {
                r = make_directories(path);
                if (r < 0)
                        return r;
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        return fd < 0 ? -errno : fd;
}

int snp_kds_fetch_bytes(
                const SnpKds *k, const SnpKdsItem *item, uint8_t **ret, size_t *ret_size, char **reterr) {
        _cleanup_close_ int dir = k->cache ? open_cache(k->cache) : -EBADF;
        _cleanup_free_ char *name = NULL;
        int r;

        r = snp_kds_file(item, &name, reterr);
        if (r < 0)
                return r == -ENOMEM ? r : -ENOENT;
        if (dir >= 0 && read_cached(k, item, dir, name, ret, ret_size) == 0)
                return 0;
        if (k->offline || !k->get)
                return error_set(reterr, -ENOENT,
                                "%s is not in the cache%s%s, and --offline forbids to ask AMD's key service",
                                name, k->cache ? " " : "", k->cache ?: "");
        r = fetch_locked(k, item, dir, name, ret, ret_size, reterr);
        if (r == -ENOMEM)
                return r;
        return r < 0 ? error_set(reterr, -ENOENT, "cannot fetch %s: %s", name, strerror(-r)) : 0;
}

void snp_kds_forget(const SnpKds *k, const SnpKdsItem *item) {
        _cleanup_close_ int dir = k->cache ? open_cache(k->cache) : -EBADF;
        _cleanup_free_ char *name = NULL;

        /* What cannot be removed is verified again, and refused again. */
        if (dir >= 0 && snp_kds_file(item, &name, NULL) == 0 && unlinkat(dir, name, 0) < 0)
                return;
}

int snp_kds_fetch(const SnpKds *k, const SnpKdsItem *item, SnpCollateral *pool, char **reterr) {
        _cleanup_free_ uint8_t *p = NULL;
        size_t n;
        int r;

        r = snp_kds_fetch_bytes(k, item, &p, &n, reterr);
        if (r < 0)
                return r;
        return snp_collateral_add(pool, p, n, SNP_KDS_ORIGIN, /* named= */ false, reterr);
}
