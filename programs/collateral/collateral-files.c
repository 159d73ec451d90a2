/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The cache by hand: what is in it, and bundles for machines without a network. */

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "atomic-file.h"
#include "collateral-bundle.h"
#include "collateral-request.h"
#include "collateral-signed.h"
#include "collateral.h"
#include "date.h"
#include "error.h"
#include "fd.h"
#include "input.h"
#include "log.h"
#include "sign-files.h"
#include "strutil.h"

#define CLOCK_SLACK  300                 /* seconds: clocks of machines without a network differ */
#define PREFETCH_MAX (16u * 1024 * 1024) /* 64000 chips */

/* A line is an address, with or without the server before it; "#" begins a comment. */
static int read_line(char *line, const char *file, unsigned number, char ***list, char **reterr) {
        _cleanup_(collateral_request_done) CollateralRequest q = {};
        _cleanup_free_ char *why = NULL;
        const char *s = line;
        int r;

        line[strcspn(line, "#\r")] = 0;
        line[strcspn(line, " \t")] = 0;
        if (!*s)
                return 0;
        if (startswith(s, "https://"))
                s = strchr(s + strlen("https://"), '/') ?: "";
        r = collateral_request_parse(s, &q, &why);
        if (r < 0)
                return error_set(reterr, r == -ENOMEM ? r : -EINVAL, "--prefetch: '%s' line %u: %s", file,
                                number, why ?: strerror(-r));
        return strv_push(list, q.path);
}

int collateral_read_prefetch(const CollateralArgs *a, char ***ret, char **reterr) {
        _cleanup_strv_free_ char **list = NULL;

        STRV_FOREACH(file, a->prefetch) {
                _cleanup_strv_free_ char **lines = NULL;
                _cleanup_free_ char *text = NULL;
                size_t size;
                unsigned number = 0;
                int r = input_read("prefetch", *file, PREFETCH_MAX, &text, &size, reterr);

                if (r >= 0 && strlen(text) != size)
                        r = error_set(reterr, -EINVAL,
                                        "--prefetch: '%s' is not text; expected one address of AMD's key service or Intel's PCS in a line",
                                        *file);
                if (r >= 0)
                        r = strv_split(text, '\n', &lines);
                if (r < 0)
                        return r;
                STRV_FOREACH(line, lines) {
                        r = read_line(*line, *file, ++number, &list, reterr);
                        if (r < 0)
                                return r;
                }
        }
        *ret = TAKE_PTR(list);
        return 0;
}

DEFINE_TRIVIAL_CLEANUP_FUNC(DIR *, closedir);

/* Chains sort before what they verify ("milan-vcek-chain.pem"), so that an import in this order succeeds: lists and leaves come last. */
static int compare(const void *a, const void *b) {
        const char *x = *(char *const *) a, *y = *(char *const *) b;
        bool chain_x = endswith(x, ".pem"), chain_y = endswith(y, ".pem");

        return chain_x != chain_y ? (chain_x ? -1 : 1) : strcmp(x, y);
}

int collateral_store_names(const CollateralStore *s, char ***ret, char **reterr) {
        _cleanup_(closedirp) DIR *d = opendir(s->cache);
        _cleanup_strv_free_ char **list = NULL;
        const struct dirent *e;
        int r = 0;

        if (!d)
                return error_set(
                                reterr, -errno, "cannot read the cache '%s': %s", s->cache, strerror(errno));
        while (r >= 0 && (e = readdir(d)))
                if (collateral_name_check(e->d_name, NULL) >= 0)
                        r = strv_push(&list, e->d_name);
        if (r < 0)
                return r;
        if (list)
                qsort(list, strv_length(list), sizeof(char *), compare);
        *ret = TAKE_PTR(list);
        return 0;
}

/* What verifies, into the bundle; *ret_n: how many. */
static int add_files(const CollateralStore *s, char *const *list, Json *bundle, size_t *ret_n) {
        size_t n = 0;

        STRV_FOREACH(name, list) {
                _cleanup_(snp_kds_kept_done) SnpKdsKept k = {};
                int r = collateral_store_load(s, *name, &k);

                if (r == -ENOENT) {
                        log_warning("'%s/%s' does not verify, ignoring", s->cache, *name);
                        continue;
                }
                if (r >= 0)
                        r = collateral_bundle_add(bundle, *name, k.data, k.size);
                if (r < 0)
                        return r;
                n++;
        }
        *ret_n = n;
        return 0;
}

static int sign_bundle(const CollateralArgs *a, Json *bundle, char **reterr) {
        STRV_FOREACH(path, a->sign_keys) {
                _cleanup_sign_key_ SignKey *key = NULL;
                int r = sign_key_read("sign-key", *path, &key, reterr);

                if (r < 0)
                        return r;
                r = collateral_bundle_sign(bundle, key, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "--sign-key: '%s'", *path);
        }
        return 0;
}

int collateral_export(const CollateralArgs *a, const char *path, char **reterr) {
        _cleanup_(collateral_store_done) CollateralStore s = {};
        _cleanup_strv_free_ char **list = NULL;
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *bundle = NULL;
        size_t n = 0;
        int r = collateral_store_open(a, /* make= */ false, &s, reterr);

        if (r >= 0)
                r = collateral_store_names(&s, &list, reterr);
        if (r >= 0)
                r = collateral_bundle_new((int64_t) time(NULL), &bundle);
        if (r >= 0)
                r = add_files(&s, list, bundle, &n);
        if (r < 0)
                return r;
        if (n == 0)
                return error_set(reterr, -ENOENT, "the cache '%s' contains nothing to export", s.cache);
        r = sign_bundle(a, bundle, reterr);
        if (r < 0)
                return r;
        text = js_text(bundle, JS_SHORT);
        if (!text)
                return -ENOMEM;
        if (streq(path, "-"))
                (void) fputs(text, stdout);
        else
                r = file_write_atomic(path, text, strlen(text), 0644, ATOMIC_FILE_REPLACE);
        if (r < 0)
                return error_set(reterr, r, "cannot write '%s': %s", path, strerror(-r));
        log_notice("exported %zu files", n);
        return 0;
}

typedef struct Import {
        const CollateralStore *shelf;
        size_t n_stored, n_older;
} Import;

static int import_file(void *userdata, const char *name, const void *p, size_t n, char **reterr) {
        Import *i = userdata;
        _cleanup_free_ char *why = NULL;
        int r = collateral_store_put(i->shelf, name, p, n, &why);

        if (r == -ESTALE) {
                log_warning("%s, ignoring", why);
                i->n_older++;
                return 0;
        }
        if (r < 0)
                return error_set(reterr, r, "%s", why ?: strerror(-r));
        i->n_stored++;
        return 0;
}

static int read_standard_input(char **ret, size_t *ret_size, char **reterr) {
        int r = fd_read_all(STDIN_FILENO, COLLATERAL_BUNDLE_SIZE_MAX, ret, ret_size);

        return r < 0 ? error_set(reterr, r, "cannot read standard input: %s", strerror(-r)) : 0;
}

/* Before anything of the bundle is used. */
static int check_signers(
                const CollateralArgs *a, const Signers *signers, const Json *bundle, char **reterr) {
        int64_t created, now = (int64_t) time(NULL);
        int r;

        if (signers->n_keys == 0)
                return 0;
        r = collateral_bundle_verify(bundle, signers->keys, signers->n_keys, &created, reterr);
        if (r < 0)
                return r;
        if (created > now + CLOCK_SLACK)
                return error_set(reterr, -ETIME, "the bundle was signed in the future, at %s",
                                date_text(created).text);
        if (a->max_age > 0 && now - created > (int64_t) (a->max_age / 1000000))
                return error_set(reterr, -ETIME, "the bundle was signed at %s, longer ago than --max-age=",
                                date_text(created).text);
        log_notice("signed at %s by %zu of %zu keys", date_text(created).text, signers->n_keys,
                        signers->n_keys);
        return 0;
}

int collateral_import(const CollateralArgs *a, const char *path, char **reterr) {
        _cleanup_(collateral_store_done) CollateralStore s = {};
        _cleanup_(signers_done) Signers signers = {};
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *bundle = NULL;
        Import i = { .shelf = &s };
        size_t size;
        int r = collateral_store_open(a, /* make= */ false, &s, reterr);

        if (r >= 0)
                r = signers_read("signer", a->signers, &signers, reterr);
        if (r >= 0)
                r = streq(path, "-")
                                ? read_standard_input(&text, &size, reterr)
                                : input_read(NULL, path, COLLATERAL_BUNDLE_SIZE_MAX, &text, &size, reterr);
        if (r < 0)
                return r;
        r = collateral_bundle_parse(text, size, &bundle, reterr);
        if (r >= 0)
                r = check_signers(a, &signers, bundle, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "'%s'", path);
        r = collateral_store_make(&s, reterr);
        if (r < 0)
                return r;
        r = collateral_bundle_each(bundle, import_file, &i, reterr);
        log_notice("imported %zu files, ignored %zu that are out of date", i.n_stored, i.n_older);
        return r < 0 ? error_prefix(reterr, r, "'%s'", path) : 0;
}

static int print_json(const CollateralArgs *a, const CollateralStore *s, char *const *list) {
        _cleanup_js_ Json *j = js_array();
        int r = j ? 0 : -ENOMEM;

        STRV_FOREACH(name, list) {
                _cleanup_(snp_kds_kept_done) SnpKdsKept k = {};
                Json *row = NULL;
                int known = collateral_store_load(s, *name, &k);

                if (known < 0 && known != -ENOENT)
                        return known;
                r = js_build(&row, "{s:s, s:b, s:I}", "name", *name, "verified", known >= 0, "stored",
                                known >= 0 ? k.stored : 0);
                if (r >= 0 && known >= 0 && k.next_update != INT64_MAX)
                        r = js_set(row, "next-update", js_u64((uint64_t) k.next_update));
                r = r >= 0 ? js_append(j, row) : r;
                if (r < 0)
                        return r;
        }
        return verb_print_json(j, a->common.style);
}

int collateral_list(const CollateralArgs *a, char **reterr) {
        _cleanup_(collateral_store_done) CollateralStore s = {};
        _cleanup_strv_free_ char **list = NULL;
        int r = collateral_store_open(a, /* make= */ false, &s, reterr);

        if (r >= 0)
                r = collateral_store_names(&s, &list, reterr);
        if (r < 0)
                return r;
        if (a->common.json)
                return print_json(a, &s, list);
        STRV_FOREACH(name, list) {
                _cleanup_(snp_kds_kept_done) SnpKdsKept k = {};

                r = collateral_store_load(&s, *name, &k);
                if (r < 0 && r != -ENOENT)
                        return r;
                if (r < 0)
                        printf("%-40s does not verify\n", *name);
                else if (k.next_update == INT64_MAX)
                        printf("%-40s verified\n", *name);
                else
                        printf("%-40s verified, next update %s%s\n", *name, date_text(k.next_update).text,
                                        (int64_t) time(NULL) > k.next_update ? " (overdue)" : "");
        }
        return 0;
}
