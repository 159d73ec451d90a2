/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Trust anchor and collateral for TDX. Files are read when the service starts, collateral also on SIGHUP: Intel's statements are valid for a month. */

#include <errno.h>
#include <string.h>

#include "attestd.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"
#include "td-collateral.h"
#include "td-pcs.h"

#define COLLATERAL_FILE_MAX (1024u * 1024u)

typedef struct Files {
        ServiceFile *list; /* owned, with their data */
        size_t n;
} Files;

static void files_done(Files *f) {
        FOREACH_ARRAY(x, f->list, f->n) {
                free((char *) x->name);
                free((void *) x->data);
        }
        free(f->list);
        *f = (Files) {};
}

void attestd_tdx_done(AttestdWorld *w) {
        files_done(&(Files) { w->td_files, w->n_td_files });
        w->td_root = certificate_free(w->td_root);
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

static int load_file(Files *all, const char *path, char **reterr) {
        _cleanup_(td_collateral_done) TdCollateral found = {};
        ServiceFile *f = all->list + all->n;
        char *data = NULL;
        size_t size = 0;
        int r = read_file(path, &found, &data, &size, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "--tdx-collateral");
        *f = (ServiceFile) { .name = strdup(path), .data = data, .size = size };
        all->n++;
        return f->name ? 0 : -ENOMEM;
}

int attestd_load_tdx_collateral(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        _cleanup_(files_done) Files fresh = { .list = calloc(strv_length(a->tdx_collateral) + 1,
                                                              sizeof(ServiceFile)) };
        int r = fresh.list ? 0 : -ENOMEM;

        STRV_FOREACH(path, a->tdx_collateral)
                if (r >= 0)
                        r = load_file(&fresh, *path, reterr);
        if (r < 0)
                return r;
        files_done(&(Files) { w->td_files, w->n_td_files });
        w->service.td_files = w->td_files = fresh.list;
        w->service.n_td_files = w->n_td_files = fresh.n;
        fresh = (Files) {};
        return 0;
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

int attestd_load_tdx_root(const AttestdArgs *a, Certificate **ret, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size = 0;
        int r = a->insecure_tdx_root ? file_read_all(a->insecure_tdx_root, COLLATERAL_FILE_MAX, &data, &size)
                                     : 0;

        if (r < 0)
                return error_set(reterr, r, "--insecure-tdx-root: cannot read '%s': %s",
                                a->insecure_tdx_root, strerror(-r));
        r = td_pcs_root(data, size, a->insecure_tdx_root ?: "Intel's root", ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--insecure-tdx-root") : 0;
}

int attestd_load_tdx(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        int r;

        td_trust_init(&w->td_trust);
        r = attestd_load_tdx_root(a, &w->td_root, reterr);
        if (r >= 0)
                r = attestd_load_tdx_collateral(a, w, reterr);
        return r >= 0 && a->insecure_tdx_root ? load_root(&w->td_trust, a->insecure_tdx_root, reterr) : r;
}
