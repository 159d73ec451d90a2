/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Intel's statements, certificates and lists in every form, the headers and paths of its PCS, files of its cache, and policy files for quotes: each refusal has an error
 * message. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "macro.h"
#include "td-collateral.h"
#include "td-pcs.h"
#include "td-policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_say(int r, char *error) {
        if (r == -EBADMSG && !error)
                abort();
        free(error);
}

static void read_statement(const char *text, size_t size) {
        TdQeIdentity identity = {};
        char *error = NULL;
        TdTcbInfo info = {};
        TdQuote q = {};
        TdPck pck = {};
        int r = td_tcb_info_read(text, size, &info, &error);

        if (r == 0) {
                q.tee_tcb_svn[1] = 1;
                (void) td_tcb_module(&info, &q);
                (void) td_tcb_level(&info, &pck, &q);
        }
        must_say(r, error);
        td_tcb_info_done(&info);

        error = NULL;
        r = td_qe_identity_read(text, size, &identity, &error);
        must_say(r, error);
        td_qe_identity_done(&identity);
}

static void read_policy(const uint8_t *data, size_t size) {
        _cleanup_(td_policy_done) TdPolicy p = {};
        _cleanup_free_ char *error = NULL;
        _cleanup_js_ Json *j = NULL, *waived = NULL;

        if (js_parse((const char *) data, size, &j, NULL) < 0)
                return;
        td_policy_init(&p);
        if (td_policy_read(j, &p, &error) < 0 && !error)
                abort();
        if (td_policy_waived(&p, &waived) < 0)
                abort();
}

/* A chain that is understood has one form, which is understood as the same. */
static void read_chain(const char *header) {
        _cleanup_free_ char *chain = NULL, *again = NULL, *encoded = NULL;
        char *error = NULL;
        int r = td_pcs_chain_read(header, &chain, &error);

        must_say(r, error);
        if (r < 0)
                return;
        encoded = td_pcs_chain_encode(chain, strlen(chain));
        if (!encoded)
                return;
        r = td_pcs_chain_read(encoded, &again, NULL);
        if (r != -ENOMEM && (r < 0 || strcmp(chain, again) != 0))
                abort();
}

static void read_path(const char *text) {
        _cleanup_free_ char *path = NULL, *file = NULL;
        TdPcsItem item = {}, again = {};

        if (td_pcs_path_parse(text, &item) < 0 && td_pcs_file_parse(text, &item) < 0)
                return;
        if (td_pcs_path(&item, &path) < 0 || td_pcs_file(&item, &file) < 0)
                return;
        if (td_pcs_path_parse(path, &again) < 0 || memcmp(&item, &again, sizeof(item)) != 0 ||
                        td_pcs_file_parse(file, &again) < 0 || memcmp(&item, &again, sizeof(item)) != 0)
                abort();
}

static void read_pcs(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);

        for (int kind = 0; kind < _TD_PCS_KIND_MAX; kind++) {
                _cleanup_(td_pcs_form_done) TdPcsForm f = {};

                if (td_pcs_form_read((TdPcsKind) kind, data, size, &f) == 0 &&
                                f.chain_size + f.body_size != size)
                        abort();
        }
        if (!text)
                return;
        read_chain(text);
        read_path(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(td_collateral_done) TdCollateral c = {};
        char *error = NULL;
        int r = td_collateral_add(&c, data, size, "fuzz", &error);

        must_say(r, error);
        read_statement((const char *) data, size);
        read_policy(data, size);
        read_pcs(data, size);
        FOREACH_ARRAY(s, c.statements, c.n_statements)
                read_statement(s->json.body, s->json.size);
        FOREACH_ARRAY(x, c.certificates, c.n_certificates) {
                TdPck pck;

                error = NULL;
                r = td_pck_read(x->certificate, &pck, &error);
                must_say(r, error);
        }
        return 0;
}
