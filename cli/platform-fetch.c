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

/* From the cache, else from the network; what cannot be had is -ENOENT with a sentence. */
static int get(const PlatformArgs *a, const char *base, const char *path, const char *file, Fetched *ret,
                char **reterr) {
        _cleanup_(fetched_done) Fetched f = {};
        _cleanup_free_ char *directory = NULL, *url = NULL;
        int r = cache_directory(a, &directory);

        if (r < 0)
                return r;
        if (*directory && asprintf(&f.cached, "%s/%s", directory, file) < 0)
                return -ENOMEM;
        if (!f.cached || file_read_all(f.cached, SEV_CHAIN_SIZE_MAX, &f.data, &f.size) < 0) {
                if (!a->online)
                        return error_set(reterr, -ENOENT, "%s is not in the cache; --online fetches it",
                                        file);
                if (asprintf(&url, "%s%s", base, path) < 0)
                        return -ENOMEM;
                r = download(url, &f.data, &f.size, reterr);
                if (r < 0)
                        return r == -ENOMEM ? r : error_set(reterr, -ENOENT, "cannot fetch '%s'", url);
                if (f.cached)
                        (void) !!make_directories(directory); /* a cache that cannot be made is no cache */
                f.fresh = true;
        }
        *ret = TAKE_STRUCT(f, (Fetched) {});
        return 0;
}

/* Only what helped is kept, so that garbage from a server does not stay. */
static void settle_cache(const Fetched *f, bool useful) {
        if (!f->cached)
                return;
        if (!useful)
                (void) unlink(f->cached);
        else if (f->fresh && file_write_atomic(f->cached, f->data, f->size, 0644, ATOMIC_FILE_REPLACE) < 0)
                return; /* a cache that cannot be written is no cache */
}

/* Tries a copy of the chain with these bytes: kept if they make the report better. Garbage from a cache or a server
 * is not worth more than nothing. */
static int try_bytes(const Fetched *f, const SevChainPolicy *policy, SevChain *chain, SevChainReport *report,
                bool *ret_kept) {
        _cleanup_free_ SevChain *copy = malloc(sizeof(SevChain));
        _cleanup_(sev_chain_report_done) SevChainReport better = {};
        int r;

        *ret_kept = false;
        if (!copy)
                return -ENOMEM;
        *copy = *chain;
        if (sev_chain_add(copy, f->data, f->size, policy->accept_unsigned_ark, NULL) < 0)
                return 0;
        r = sev_chain_verify(copy, policy, &better);
        if (r < 0 || better.verdict == VERDICT_NOT_AUTHENTIC)
                return r;
        *chain = *copy;
        sev_chain_report_done(report);
        *report = TAKE_STRUCT(better, (SevChainReport) {});
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

static int fetch_cek(const PlatformArgs *a, const SevChainPolicy *policy, SevChain *chain,
                SevChainReport *report, char **reterr) {
        _cleanup_free_ char *id = NULL, *path = NULL, *file = NULL;
        _cleanup_(fetched_done) Fetched f = {};
        bool kept;
        int r;

        r = cek_id_text(a->cek_id, &id, reterr);
        if (r < 0)
                return r;
        if (asprintf(&path, "/cek/id/%s", id) < 0 || asprintf(&file, "cek-%s.cert", id) < 0)
                return -ENOMEM;
        r = get(a, a->kds_url ?: KDS_URL, path, file, &f, reterr);
        if (r >= 0)
                r = try_bytes(&f, policy, chain, report, &kept);
        if (r >= 0)
                settle_cache(&f, kept);
        return r;
}

static int fetch_roots(const PlatformArgs *a, const SevChainPolicy *policy, SevChain *chain,
                SevChainReport *report, char **reterr) {
        static const char *const generations[] = { "naples", "rome", "milan", "genoa", "turin" };
        bool kept = false;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(generations) && !kept; i++) {
                _cleanup_free_ char *path = NULL, *error = NULL;
                _cleanup_(fetched_done) Fetched f = {};

                if (a->generation && strcasecmp(a->generation, generations[i]) != 0)
                        continue;
                if (asprintf(&path, "/ask_ark_%s.cert", generations[i]) < 0)
                        return -ENOMEM;
                r = get(a, a->downloads_url ?: DOWNLOADS_URL, path, path + 1, &f, &error);
                if (r >= 0)
                        r = try_bytes(&f, policy, chain, report, &kept);
                if (r >= 0 && kept) /* one that does not fit may be good for another platform: it stays where it is */
                        settle_cache(&f, true);
                if (r == -ENOENT && a->online && !*reterr)
                        *reterr = TAKE_PTR(error);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        if (kept)
                return 0;
        return error_set(reterr, -ENOENT, "no ask_ark file that fits is in the cache%s",
                        a->online ? " or can be fetched" : "; --online fetches it");
}

int platform_fetch(const PlatformArgs *a, const SevChainPolicy *policy, SevChain *chain,
                SevChainReport *report, char **reterr) {
        _cleanup_free_ char *error = NULL;
        int r = 0;

        if (a->cek_id)
                r = fetch_cek(a, policy, chain, report, &error);
        if (r >= 0 && (!chain->has_ask || !chain->has_ark))
                r = fetch_roots(a, policy, chain, report, &error);
        /* What cannot be had leaves the report as it is: it says what is missing. */
        if (r < 0 && r != -ENOENT)
                return error_set(reterr, r, "%s", error ?: strerror(-r));
        if (r == -ENOENT && error)
                log_notice("%s", error);
        return 0;
}
