/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files, cache and network for the report program: everything that the verifier takes as parameters. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "date.h"
#include "error.h"
#include "fd.h"
#include "http-client.h"
#include "input.h"
#include "log.h"
#include "report.h"
#include "strutil.h"

#define CERT_FILE_MAX        (1024u * 1024u)
#define HTTP_TIMEOUT_SECONDS 30u

DEFINE_TRIVIAL_CLEANUP_FUNC(DIR *, closedir);

void report_file_done(ReportFile *f) {
        free(f->data);
        free(f->table);
        snp_evidence_done(&f->evidence);
        *f = (ReportFile) {};
}

/* Standard input is read more than once: which technology it is of, then as evidence. What cannot be read again is held in memory. */
int report_stdin_read(size_t max, char **ret, size_t *ret_size) {
        _cleanup_close_ int held = -EBADF;
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        /* Only a file in memory has seals. */
        if (fcntl(STDIN_FILENO, F_GET_SEALS) >= 0 && lseek(STDIN_FILENO, 0, SEEK_SET) == 0)
                return fd_read_all(STDIN_FILENO, max, ret, ret_size);
        r = fd_read_all(STDIN_FILENO, SNP_EVIDENCE_SIZE_MAX, &data, &size);
        if (r < 0)
                return r;
        held = memfd_create("standard input", MFD_CLOEXEC);
        if (held < 0)
                return -errno;
        r = fd_write_all(held, data, size);
        if (r < 0)
                return r;
        if (lseek(held, 0, SEEK_SET) < 0 || dup2(held, STDIN_FILENO) < 0)
                return -errno;
        return fd_read_all(STDIN_FILENO, max, ret, ret_size);
}

static int read_tsm_directory(const char *path, ReportFile *f, char **reterr) {
        _cleanup_free_ char *report = NULL, *table = NULL;
        int r;

        if (asprintf(&report, "%s/outblob", path) < 0 || asprintf(&table, "%s/auxblob", path) < 0)
                return -ENOMEM;
        r = input_read(NULL, report, SNP_EVIDENCE_SIZE_MAX, &f->data, &f->size, reterr);
        if (r < 0)
                return r;
        r = file_read_all(table, SNP_CERT_TABLE_SIZE_MAX, &f->table, &f->table_size);
        return r < 0 && r != -ENOENT ? input_error(NULL, table, SNP_CERT_TABLE_SIZE_MAX, r, reterr) : 0;
}

int report_file_read(const char *path, ReportFile *ret, char **reterr) {
        _cleanup_(report_file_done) ReportFile f = {};
        struct stat st;
        int r;

        if (streq(path, "-"))
                r = report_stdin_read(SNP_EVIDENCE_SIZE_MAX, &f.data, &f.size);
        else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
                r = read_tsm_directory(path, &f, reterr);
                if (r < 0)
                        return r;
        } else
                r = file_read_all(path, SNP_EVIDENCE_SIZE_MAX, &f.data, &f.size);
        if (r < 0)
                return input_error(NULL, path, SNP_EVIDENCE_SIZE_MAX, r, reterr);

        r = snp_evidence_open(f.data, f.size, &f.evidence, reterr);
        if (r < 0)
                return r == -ENOMEM ? r : error_prefix(reterr, -EINVAL, "'%s'", path);
        if (f.evidence.note)
                log_notice("'%s': the report was read from %s", path, f.evidence.note);
        *ret = TAKE_STRUCT(f, (ReportFile) {});
        return 0;
}

static int add_file(SnpCollateral *pool, const char *path, bool named, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = input_read(NULL, path, CERT_FILE_MAX, &data, &size, reterr);
        if (r < 0)
                return r;
        r = snp_collateral_add(pool, data, size, path, named, reterr);
        return r < 0 && r != -ENOMEM ? error_prefix(reterr, -EINVAL, "'%s'", path) : r;
}

/* A directory may hold anything: files that are not certificates are skipped. */
static int add_directory(SnpCollateral *pool, const char *path, char **reterr) {
        _cleanup_(closedirp) DIR *d = opendir(path);

        if (!d)
                return error_set(
                                reterr, -errno, "cannot read the directory '%s': %s", path, strerror(errno));
        for (struct dirent *e; (e = readdir(d));) {
                _cleanup_free_ char *file = NULL;
                struct stat st;
                int r;

                if (e->d_name[0] == '.')
                        continue;
                if (asprintf(&file, "%s/%s", path, e->d_name) < 0)
                        return -ENOMEM;
                if (stat(file, &st) < 0 || !S_ISREG(st.st_mode))
                        continue;
                r = add_file(pool, file, /* named= */ false, NULL);
                if (r == -ENOMEM)
                        return r;
        }
        return 0;
}

static bool has_named(const SnpCollateral *pool) {
        for (size_t i = 0; i < pool->n_certificates; i++)
                if (pool->certificates[i]->named)
                        return true;
        return false;
}

/* What the file holds instead, for the error message. */
static int refuse_leaf(const char *path, char **reterr) {
        _cleanup_(snp_collateral_done) SnpCollateral c = {};
        int r = add_file(&c, path, /* named= */ true, reterr);
        const char *name =
                        r == 0 && c.n_certificates > 0 ? c.certificates[0]->certificate->common_name : NULL;

        return r < 0 ? r
                     : error_set(reterr, -EINVAL,
                                       "'%s' contains no VCEK or VLEK certificate%s%s%s; pass intermediates and roots with --ca",
                                       path, name ? ", but '" : "", name ?: "", name ? "'" : "");
}

static int add_leaf(SnpCollateral *pool, const char *path, char **reterr) {
        int r = add_file(pool, path, /* named= */ true, reterr);

        if (r == 0 && !has_named(pool))
                r = refuse_leaf(path, reterr);
        return r < 0 ? error_prefix(reterr, r, "--leaf") : 0;
}

int report_collect_files(const ReportArguments *a, SnpCollateral *pool, char **reterr) {
        struct stat st;
        int r;

        STRV_FOREACH(path, a->leaf) {
                r = add_leaf(pool, *path, reterr);
                if (r < 0)
                        return r;
        }
        STRV_FOREACH(path, a->ca) {
                r = add_file(pool, *path, /* named= */ false, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "--ca");
        }
        STRV_FOREACH(path, a->certs) {
                r = stat(*path, &st) == 0 && S_ISDIR(st.st_mode)
                                ? add_directory(pool, *path, reterr)
                                : add_file(pool, *path, /* named= */ false, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "--certs");
        }
        return 0;
}

int report_trust_root(SnpTrust *t, const char *path, SnpCollateral *pool, char **reterr) {
        _cleanup_(snp_collateral_done) SnpCollateral c = {};
        bool found = false;
        int r;

        r = add_file(&c, path, /* named= */ false, reterr);
        for (size_t i = 0; r == 0 && i < c.n_certificates; i++)
                if (c.certificates[i]->role == SNP_ROLE_ARK) {
                        r = snp_trust_insecure_acknowledging_forgery(
                                        t, c.certificates[i]->certificate, reterr);
                        found = true;
                }
        if (r == 0 && !found)
                r = error_set(reterr, -EINVAL, "'%s' contains no root certificate (ARK)", path);
        if (r == 0)
                r = add_file(pool, path, /* named= */ false, reterr);
        return r < 0 ? error_prefix(reterr, r, "--insecure-root") : 0;
}

static int network_request(ReportNetwork *n, const char *url, const char *header, size_t max,
                HttpAnswer *ret, char **reterr) {
        const HttpRequest q = {
                .method = "GET", .url = url, .header = header, .timeout_seconds = HTTP_TIMEOUT_SECONDS
        };
        HttpClient *client = n->http;
        int r;

        if (!client) {
                r = http_client_new(&client, reterr);
                if (r < 0)
                        return r;
                n->http = client;
        }
        return http_client_request(client, &q, max, ret, reterr);
}

static int network_get(void *userdata, const char *url, size_t max, unsigned *ret_status,
                unsigned *ret_retry_after, uint8_t **ret, size_t *ret_size, char **reterr) {
        HttpAnswer answer = {};
        int r = network_request(userdata, url, /* header= */ NULL, max, &answer, reterr);

        if (r < 0)
                return r;
        *ret_status = answer.status;
        *ret_retry_after = answer.retry_after;
        *ret = answer.body;
        *ret_size = answer.size;
        return 0;
}

static int network_get_pcs(void *userdata, const char *url, const char *header, size_t max, TdPcsAnswer *ret,
                char **reterr) {
        HttpAnswer answer = {};
        int r = network_request(userdata, url, header, max, &answer, reterr);

        if (r < 0)
                return r;
        *ret = (TdPcsAnswer) { answer.status, answer.retry_after, answer.body, answer.size, answer.header };
        return 0;
}

static int64_t network_clock(_unused_ void *userdata) {
        return (int64_t) time(NULL);
}

static void network_wait(_unused_ void *userdata, unsigned seconds) {
        struct timespec t = { .tv_sec = seconds };

        while (nanosleep(&t, &t) < 0 && errno == EINTR)
                ;
}

void report_network_done(ReportNetwork *n) {
        http_client_free(n->http);
        free(n->cache);
        *n = (ReportNetwork) {};
}

static int check_url(const char *option, const char *url, char **reterr) {
        return !url || http_url_valid(url)
                        ? 0
                        : error_set(reterr, -EINVAL,
                                          "--%s: expected https://..., http://... or unix:/SOCKET, not '%s'",
                                          option, url);
}

int report_network_init(ReportNetwork *n, const ReportArguments *a, int64_t now, char **reterr) {
        int r;

        r = check_url("kds", a->kds_url, reterr);
        if (r == 0)
                r = check_url("pcs", a->pcs_url, reterr);
        if (r < 0)
                return r;
        *n = (ReportNetwork) {
                .kds = { .url = a->kds_url,
                                .offline = a->offline,
                                .now = now,
                                .patience = SNP_KDS_PATIENCE,
                                .get = network_get,
                                .clock = network_clock,
                                .wait = network_wait,
                                .userdata = n },
                .pcs = { .url = a->pcs_url,
                                .offline = a->offline,
                                .now = now,
                                .patience = TD_PCS_PATIENCE,
                                .get = network_get_pcs,
                                .clock = network_clock,
                                .wait = network_wait,
                                .userdata = n },
        };
        if (a->cache && !*a->cache)
                return 0; /* --cache=: none */
        if (a->cache) {
                n->cache = strdup(a->cache);
                r = n->cache ? 0 : -ENOMEM;
        } else
                r = cache_folder("kds", &n->cache);
        if (r < 0)
                return error_set(reterr, r, "out of memory");
        n->kds.cache = n->pcs.cache = n->cache;
        return 0;
}

int report_time(const char *text, int64_t *ret, char **reterr) {
        int r = parse_date(text, ret, reterr);

        return r < 0 ? error_prefix(reterr, r, "--time") : 0;
}

int report_generation(const ReportArguments *a, SnpGeneration *ret, char **reterr) {
        SnpGeneration g =
                        a->generation ? snp_generation_from_string(a->generation) : _SNP_GENERATION_INVALID;

        if (a->generation && g < 0)
                return error_set(reterr, -EINVAL, "--generation: expected %s, not '%s'",
                                values_text(SNP_GENERATION_NAMES).text, a->generation);
        *ret = g;
        return 0;
}
