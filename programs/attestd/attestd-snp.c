/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Trust anchors and certificates for SEV-SNP. Files are read once, when the service starts. */

#include <errno.h>
#include <string.h>

#include "attestd.h"
#include "error.h"
#include "fd.h"
#include "snp-collateral.h"
#include "strutil.h"

#define CERT_FILE_MAX (1024u * 1024u)

void attestd_snp_done(AttestdWorld *w) {
        snp_trust_done(&w->snp_trust);
        FOREACH_ARRAY(f, w->snp_files, w->n_snp_files) {
                free((char *) f->name);
                free((void *) f->data);
        }
        free(w->snp_files);
}

/* Reads a file of certificates. */
static int read_certificates(
                const char *path, SnpCollateral *ret, char **ret_data, size_t *ret_size, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = file_read_all(path, CERT_FILE_MAX, &data, &size);

        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        r = snp_collateral_add(ret, data, size, path, /* named= */ false, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "%s", path);
        *ret_data = TAKE_PTR(data);
        *ret_size = size;
        return 0;
}

static int load_file(AttestdWorld *w, const char *path, char **reterr) {
        _cleanup_(snp_collateral_done) SnpCollateral found = {};
        ServiceFile *f = w->snp_files + w->n_snp_files;
        char *data = NULL;
        size_t size = 0;
        int r = read_certificates(path, &found, &data, &size, reterr);

        if (r < 0)
                return r;
        *f = (ServiceFile) { .name = strdup(path), .data = data, .size = size };
        w->n_snp_files++;
        return f->name ? 0 : -ENOMEM;
}

static int load_root(SnpTrust *t, const char *path, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size = 0;
        int r = file_read_all(path, CERT_FILE_MAX, &data, &size);

        r = r < 0 ? error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r))
                  : snp_collateral_insecure_root(t, data, size, path, reterr);
        return r < 0 ? error_prefix(reterr, r, "--insecure-snp-root") : 0;
}

int attestd_load_snp_trust(const AttestdArgs *a, SnpTrust *ret, char **reterr) {
        snp_trust_init(ret);
        return a->insecure_snp_root ? load_root(ret, a->insecure_snp_root, reterr) : 0;
}

int attestd_load_snp(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        size_t n = strv_length(a->snp_certs) + 1;
        int r = attestd_load_snp_trust(a, &w->snp_trust, reterr);

        w->snp_files = calloc(n, sizeof(ServiceFile));
        if (!w->snp_files)
                return -ENOMEM;
        STRV_FOREACH(path, a->snp_certs)
                if (r >= 0)
                        r = load_file(w, *path, reterr);
        if (r >= 0 && a->insecure_snp_root)
                r = load_file(w, a->insecure_snp_root, reterr);
        return r;
}
