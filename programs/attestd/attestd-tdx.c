/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Trust anchor and collateral for TDX. Files are read once, when the service starts. */

#include <errno.h>
#include <string.h>

#include "attestd.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"
#include "td-collateral.h"

#define COLLATERAL_FILE_MAX (1024u * 1024u)

void attestd_tdx_done(AttestdWorld *w) {
        FOREACH_ARRAY(f, w->td_files, w->n_td_files) {
                free((char *) f->name);
                free((void *) f->data);
        }
        free(w->td_files);
}

static int read_file(const char *path, TdCollateral *ret, char **ret_data, size_t *ret_size, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = file_read_all(path, COLLATERAL_FILE_MAX, &data, &size);

        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        r = td_collateral_add(ret, data, size, path, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "%s", path);
        *ret_data = TAKE_PTR(data);
        *ret_size = size;
        return 0;
}

static int load_file(AttestdWorld *w, const char *path, char **reterr) {
        _cleanup_(td_collateral_done) TdCollateral found = {};
        ServiceFile *f = w->td_files + w->n_td_files;
        char *data = NULL;
        size_t size = 0;
        int r = read_file(path, &found, &data, &size, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "--tdx-collateral");
        *f = (ServiceFile) { .name = strdup(path), .data = data, .size = size };
        w->n_td_files++;
        return f->name ? 0 : -ENOMEM;
}

static int load_root(TdTrust *t, const char *path, char **reterr) {
        _cleanup_(td_collateral_done) TdCollateral found = {};
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = read_file(path, &found, &data, &size, reterr);

        if (r >= 0 && (found.n_certificates != 1 || !found.certificates->certificate->is_ca))
                r = error_set(reterr, -EINVAL, "'%s': expected one root certificate", path);
        if (r >= 0)
                r = td_trust_insecure_acknowledging_forgery(t, found.certificates->certificate);
        return r < 0 ? error_prefix(reterr, r, "--insecure-tdx-root") : 0;
}

int attestd_load_tdx(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        int r = 0;

        td_trust_init(&w->td_trust);
        w->td_files = calloc(strv_length(a->tdx_collateral) + 1, sizeof(ServiceFile));
        if (!w->td_files)
                return -ENOMEM;
        STRV_FOREACH(path, a->tdx_collateral)
                if (r >= 0)
                        r = load_file(w, *path, reterr);
        return r >= 0 && a->insecure_tdx_root ? load_root(&w->td_trust, a->insecure_tdx_root, reterr) : r;
}
