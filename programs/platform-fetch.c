/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "platform-fetch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "atomic-file.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "http-client.h"
#include "log.h"
#include "strutil.h"

#define KDS_URL         "https://kdsintf.amd.com"
#define DOWNLOADS_URL   "https://download.amd.com/developer/eula/sev"
#define TIMEOUT_SECONDS 30u
#define CEK_ID_SIZE_MAX 64u /* GET_ID's answer on all generations so far */

/* "" where there is to be none. */
static int cache_directory(const PlatformArgs *a, char **ret) {
        int r;

        if (!a->cache) {
                r = cache_folder("kds", ret);
                if (r < 0 || *ret)
                        return r;
        }
        *ret = strdup(a->cache ?: "");
        return *ret ? 0 : -ENOMEM;
}

static int download(const char *url, char **ret, size_t *ret_size, char **reterr) {
        _cleanup_http_client_ HttpClient *client = NULL;
        _cleanup_(http_answer_done) HttpAnswer answer = {};
        int r;

        r = http_client_new(&client, reterr);
        if (r < 0)
                return r;
        r = http_client_get(client, url, SEV_CHAIN_SIZE_MAX, TIMEOUT_SECONDS, &answer, reterr);
        if (r < 0)
                return r;
        if (answer.status != 200)
                return error_set(reterr, -ENOENT, "'%s' answered with status %u", url, answer.status);
        *ret = (char *) TAKE_PTR(answer.body);
        *ret_size = answer.size;
        return 0;
}

typedef struct Fetched {
        char *data; /* owned */
        size_t size;
        char *cached; /* owned; its place in the cache, NULL: there is no cache */
        bool fresh;   /* came from the network */
} Fetched;

static void fetched_done(Fetched *f) {
        free(f->data);
        free(f->cached);
}

/* One try to complete a chain. */
typedef struct Search {
        const PlatformArgs *args;
        const SevChainPolicy *policy;
        SevChain *chain;
        SevChainReport *report;
        bool refetch; /* what is in the cache did not help: from the network */
        Fetched cek, roots;
} Search;

static void search_done(Search *s) {
        fetched_done(&s->cek);
        fetched_done(&s->roots);
}

/* From the cache, else from the network; what cannot be had is -ENOENT with an error message. */
static int get(const Search *s, const char *base, const char *path, const char *file, Fetched *ret,
                char **reterr) {
        _cleanup_free_ char *directory = NULL, *url = NULL;
        _cleanup_(fetched_done) Fetched f = {};
        int r = cache_directory(s->args, &directory);

        if (r < 0)
                return r;
        if (*directory && asprintf(&f.cached, "%s/%s", directory, file) < 0)
                return -ENOMEM;
        if (!f.cached || s->refetch || file_read_all(f.cached, SEV_CHAIN_SIZE_MAX, &f.data, &f.size) < 0) {
                if (!s->args->online)
                        return error_set(reterr, -ENOENT, "%s is not in the cache; --online fetches it",
                                        file);
                if (asprintf(&url, "%s%s", base, path) < 0)
                        return -ENOMEM;
                r = download(url, &f.data, &f.size, reterr);
                if (r < 0)
                        return r == -ENOMEM ? r : error_set(reterr, -ENOENT, "cannot fetch '%s'", url);
                if (f.cached)
                        (void) !!make_directories(directory); /* without a cache it works, too */
                f.fresh = true;
        }
        *ret = TAKE_STRUCT(f, (Fetched) {});
        return 0;
}

/* Only what verifies up to a pinned root is kept, so that a lie of a server does not stay. A failure to write it is ignored. */
static void settle_cache(const Fetched *f, bool holds) {
        if (f->cached && !holds && !f->fresh && f->data)
                (void) unlink(f->cached);
        else if (f->cached && holds && f->fresh)
                (void) !!file_write_atomic(f->cached, f->data, f->size, 0644, ATOMIC_FILE_REPLACE);
}

/* Tries a copy of the chain with these bytes: kept if they make the report better. Garbage from a cache or a server
 * is not worth more than nothing. */
static int try_bytes(const Search *s, const Fetched *f, bool *ret_kept) {
        _cleanup_free_ SevChain *copy = malloc(sizeof(SevChain));
        _cleanup_(sev_chain_report_done) SevChainReport better = {};
        int r;

        *ret_kept = false;
        if (!copy)
                return -ENOMEM;
        *copy = *s->chain;
        if (sev_chain_add(copy, f->data, f->size, s->policy->accept_unsigned_ark, NULL) < 0)
                return 0;
        r = sev_chain_verify(copy, s->policy, &better);
        if (r < 0 || better.verdict == VERDICT_NOT_AUTHENTIC)
                return r;
        *s->chain = *copy;
        sev_chain_report_done(s->report);
        *s->report = TAKE_STRUCT(better, (SevChainReport) {});
        *ret_kept = true;
        return 0;
}

static int cek_id_text(const char *given, char **ret, char **reterr) {
        _cleanup_free_ uint8_t *id = NULL;
        size_t n;

        if (hex_decode(given, strlen(given), &id, &n) < 0 &&
                        base64_decode(given, strlen(given), &id, &n) < 0)
                return error_set(reterr, -EINVAL,
                                "--cek-id: expected hexadecimal digits or base64, not '%s'", given);
        if (n == 0 || n > CEK_ID_SIZE_MAX)
                return error_set(reterr, -EINVAL, "--cek-id: expected 1 to %u bytes, got %zu",
                                CEK_ID_SIZE_MAX, n);
        *ret = hex_encode(id, n);
        return *ret ? 0 : -ENOMEM;
}

static int fetch_cek(Search *s, char **reterr) {
        _cleanup_free_ char *id = NULL, *path = NULL, *file = NULL;
        const PlatformArgs *a = s->args;
        bool kept;
        int r;

        r = cek_id_text(a->cek_id, &id, reterr);
        if (r < 0)
                return r;
        if (asprintf(&path, "/cek/id/%s", id) < 0 || asprintf(&file, "cek-%s.cert", id) < 0)
                return -ENOMEM;
        r = get(s, a->kds_url ?: KDS_URL, path, file, &s->cek, reterr);
        return r < 0 ? r : try_bytes(s, &s->cek, &kept);
}

static int fetch_roots(Search *s, char **reterr) {
#define NAME(id, name, product) name,
        static const char *const generations[] = { "naples", "rome", SNP_GENERATIONS(NAME) };
#undef NAME
        const PlatformArgs *a = s->args;
        bool kept = false;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(generations) && !kept; i++) {
                _cleanup_free_ char *path = NULL, *error = NULL;
                _cleanup_(fetched_done) Fetched f = {};

                if (a->generation && strcasecmp(a->generation, generations[i]) != 0)
                        continue;
                if (asprintf(&path, "/ask_ark_%s.cert", generations[i]) < 0)
                        return -ENOMEM;
                r = get(s, a->downloads_url ?: DOWNLOADS_URL, path, path + 1, &f, &error);
                if (r >= 0)
                        r = try_bytes(s, &f, &kept);
                if (r >= 0 && kept) /* one that does not fit may be good for another platform: it stays where it is */
                        s->roots = TAKE_STRUCT(f, (Fetched) {});
                if (r == -ENOENT && a->online && !*reterr)
                        *reterr = TAKE_PTR(error);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        if (kept)
                return 0;
        return error_set(reterr, -ENOENT, "no matching ask_ark file is in the cache%s",
                        a->online ? " or can be downloaded" : "; --online downloads it");
}

/* 0 or -ENOENT when the cache was settled. *ret_lie: something in the cache was a lie, and is no longer there. */
static int search(Search *s, bool *ret_lie, char **reterr) {
        _cleanup_free_ SevChain *roots = malloc(sizeof(SevChain));
        bool holds = false, roots_hold = false;
        int r = 0, k;

        if (!roots)
                return -ENOMEM;
        if (s->args->cek_id)
                r = fetch_cek(s, reterr);
        if (r >= 0 && (!s->chain->has_ask || !s->chain->has_ark))
                r = fetch_roots(s, reterr);
        if (r < 0 && r != -ENOENT)
                return r;
        *roots = *s->chain;
        roots->has_cek = false; /* whose signature may be missing */
        k = sev_chain_amd_holds(roots, s->policy, &roots_hold);
        if (k >= 0)
                k = sev_chain_amd_holds(s->chain, s->policy, &holds);
        if (k < 0)
                return k;
        /* The chain may hold without what was fetched for it. */
        holds = holds && s->cek.data && s->cek.size == SEV_CERT_SIZE &&
                        memcmp(s->chain->cek.raw, s->cek.data, SEV_CERT_SIZE) == 0;
        *ret_lie = s->cek.data && !s->cek.fresh && !holds;
        settle_cache(&s->cek, holds);
        settle_cache(&s->roots, roots_hold);
        return r;
}

int platform_fetch(const PlatformArgs *a, const SevChainPolicy *policy, SevChain *chain,
                SevChainReport *report, char **reterr) {
        _cleanup_free_ SevChain *before = malloc(sizeof(SevChain));
        _cleanup_free_ char *error = NULL;
        bool lie = false;
        int r;

        if (!before)
                return -ENOMEM;
        *before = *chain;
        {
                _cleanup_(search_done) Search s = { a, policy, chain, report, false, {}, {} };

                r = search(&s, &lie, &error);
        }
        if ((r >= 0 || r == -ENOENT) && lie && a->online) {
                _cleanup_(search_done) Search again = { a, policy, chain, report, true, {}, {} };

                *chain = *before;
                sev_chain_report_done(report);
                *report = (SevChainReport) {};
                free(TAKE_PTR(error));
                r = sev_chain_verify(chain, policy, report);
                if (r >= 0)
                        r = search(&again, &lie, &error);
        }
        /* What cannot be had leaves the report as it is: it says what is missing. */
        if (r < 0 && r != -ENOENT)
                return error_set(reterr, r, "%s", error ?: strerror(-r));
        if (r == -ENOENT && error)
                log_notice("%s", error);
        return 0;
}
