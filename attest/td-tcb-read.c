/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "date.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"
#include "td-tcb.h"

static void levels_done(TdLevels *l) {
        FOREACH_ARRAY(x, l->list, l->n)
                strv_free(x->advisories);
        free(l->list);
        *l = (TdLevels) {};
}

static void module_done(TdModule *m) {
        levels_done(&m->levels);
}

void td_tcb_info_done(TdTcbInfo *t) {
        FOREACH_ARRAY(m, t->modules, t->n_modules)
                module_done(m);
        free(t->modules);
        levels_done(&t->levels);
        *t = (TdTcbInfo) {};
}

void td_qe_identity_done(TdQeIdentity *q) {
        levels_done(&q->levels);
        *q = (TdQeIdentity) {};
}

/* --- members ------------------------------------------------------------------------------------------------------------ */

static int bad(const char *name, const char *expected, char **reterr) {
        return error_set(reterr, -EBADMSG, "member '%s': expected %s", name, expected);
}

/* A text without NULs; NULL if it is not one. */
static const char *string(const Json *o, const char *name) {
        const Json *j = js_get(o, name);
        const char *s = j ? js_string_value(j) : NULL;

        return s && strlen(s) == js_string_length(j) ? s : NULL;
}

static int read_hex(const Json *o, const char *name, uint8_t *ret, size_t n, char **reterr) {
        const char *s = string(o, name);

        return s && hex_decode_exact(s, ret, n) == 0
                        ? 0
                        : error_set(reterr, -EBADMSG, "member '%s': expected %zu bytes in hex", name, n);
}

static int read_number(const Json *o, const char *name, uint64_t *ret, char **reterr) {
        const Json *j = js_get(o, name);

        return j && js_u64_value(j, ret) == 0 ? 0 : bad(name, "a number", reterr);
}

static int read_exact(const Json *o, const char *name, uint64_t expected, char **reterr) {
        uint64_t v;
        int r = read_number(o, name, &v, reterr);

        if (r < 0 || v == expected)
                return r;
        return error_set(reterr, -EBADMSG, "member '%s': expected %u, not %llu", name, (unsigned) expected,
                        (unsigned long long) v);
}

static int read_word(const Json *o, const char *name, const char *expected, char **reterr) {
        const char *s = string(o, name);

        return s && streq(s, expected)
                        ? 0
                        : error_set(reterr, -EBADMSG, "member '%s': expected \"%s\"", name, expected);
}

static int read_date(const Json *o, const char *name, int64_t *ret, char **reterr) {
        const char *s = string(o, name);

        return s && s[0] != '@' && parse_date(s, ret, NULL) == 0 ? 0 : bad(name, "a date", reterr);
}

/* What both documents begin with. */
static int read_head(const Json *j, uint64_t version, int64_t *issued, int64_t *next, uint64_t *evaluation,
                char **reterr) {
        int r = js_is_object(j) ? read_exact(j, "version", version, reterr)
                                : error_set(reterr, -EBADMSG, "expected an object");

        if (r == 0)
                r = read_date(j, "issueDate", issued, reterr);
        if (r == 0)
                r = read_date(j, "nextUpdate", next, reterr);
        return r == 0 ? read_number(j, "tcbEvaluationDataNumber", evaluation, reterr) : r;
}

/* --- levels ------------------------------------------------------------------------------------------------------------- */

static int read_components(
                const Json *tcb, const char *name, uint64_t ret[static TD_TCB_COMPONENTS], char **reterr) {
        const Json *list = js_get(tcb, name);

        if (!list || !js_is_array(list) || js_length(list) != TD_TCB_COMPONENTS)
                return bad(name, "16 components", reterr);
        for (size_t i = 0; i < TD_TCB_COMPONENTS; i++) {
                const Json *x = js_at(list, i);
                int r = js_is_object(x) ? read_number(x, "svn", &ret[i], reterr)
                                        : bad(name, "16 components", reterr);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_advisories(const Json *j, TdLevel *l, char **reterr) {
        const Json *list = js_get(j, "advisoryIDs");

        if (!list)
                return 0;
        if (!js_is_array(list) || js_length(list) > TD_ADVISORIES_MAX)
                return bad("advisoryIDs", "a list of at most 256 names", reterr);
        for (size_t i = 0; i < js_length(list); i++) {
                const char *s = js_string_value(js_at(list, i));
                int r = s ? strv_push(&l->advisories, s) : bad("advisoryIDs", "a list of names", reterr);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_level(const Json *j, bool platform, TdLevel *l, char **reterr) {
        const Json *tcb = js_is_object(j) ? js_get(j, "tcb") : NULL;
        const char *status, *date;
        int r = 0;

        if (!tcb || !js_is_object(tcb))
                return bad("tcb", "an object", reterr);
        if (platform) {
                r = read_components(tcb, "sgxtcbcomponents", l->svn, reterr);
                if (r == 0)
                        r = read_components(tcb, "tdxtcbcomponents", l->tdx, reterr);
                if (r == 0)
                        r = read_number(tcb, "pcesvn", &l->pcesvn, reterr);
        } else
                r = read_number(tcb, "isvsvn", &l->isvsvn, reterr);
        if (r < 0)
                return r;
        status = string(j, "tcbStatus");
        l->status = status ? td_status_from_string(status) : _TD_STATUS_INVALID;
        if (l->status < 0 || l->status == TD_STATUS_NOT_SUPPORTED ||
                        l->status == TD_STATUS_TD_RELAUNCH_ADVISED ||
                        l->status == TD_STATUS_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED)
                return error_set(reterr, -EBADMSG, "member 'tcbStatus': unknown status '%.40s'",
                                status ?: "");
        date = string(j, "tcbDate");
        if (!date || strlen(date) >= sizeof(l->date))
                return bad("tcbDate", "a date", reterr);
        memcpy(l->date, date, strlen(date) + 1);
        return read_advisories(j, l, reterr);
}

static int read_levels(const Json *o, bool platform, TdLevels *ret, char **reterr) {
        const Json *list = js_get(o, "tcbLevels");
        size_t n = list && js_is_array(list) ? js_length(list) : 0;
        int r = 0;

        if (n == 0 || n > TD_TCB_LEVELS_MAX)
                return bad("tcbLevels", "a list of 1 to 64 levels", reterr);
        ret->list = calloc(n, sizeof(TdLevel));
        if (!ret->list)
                return -ENOMEM;
        for (; r >= 0 && ret->n < n; ret->n++)
                r = read_level(js_at(list, ret->n), platform, ret->list + ret->n, reterr);
        return r;
}

/* --- TCB info ------------------------------------------------------------------------------------------------------------ */

static int read_module(const Json *j, bool identity, TdModule *m, char **reterr) {
        const char *id = identity && js_is_object(j) ? string(j, "id") : NULL;
        int r;

        if (!js_is_object(j) || (identity && (!id || strlen(id) >= sizeof(m->id))))
                return bad("tdxModuleIdentities", "modules with an id", reterr);
        if (identity)
                memcpy(m->id, id, strlen(id) + 1);
        r = read_hex(j, "mrsigner", m->mrsigner, sizeof(m->mrsigner), reterr);
        if (r == 0)
                r = read_hex(j, "attributes", m->attributes, sizeof(m->attributes), reterr);
        if (r == 0)
                r = read_hex(j, "attributesMask", m->mask, sizeof(m->mask), reterr);
        return r == 0 && identity ? read_levels(j, /* platform= */ false, &m->levels, reterr) : r;
}

static int read_modules(const Json *j, TdTcbInfo *t, char **reterr) {
        const Json *module = js_get(j, "tdxModule"), *list = js_get(j, "tdxModuleIdentities");
        size_t n = list && js_is_array(list) ? js_length(list) : 0;
        int r = module ? read_module(module, /* identity= */ false, &t->module, reterr)
                       : bad("tdxModule", "an object", reterr);

        if (r < 0 || !list)
                return r;
        if (!js_is_array(list) || n > TD_MODULES_MAX)
                return bad("tdxModuleIdentities", "a list of at most 32 modules", reterr);
        t->modules = calloc(MAX(n, (size_t) 1), sizeof(TdModule));
        if (!t->modules)
                return -ENOMEM;
        for (; r >= 0 && t->n_modules < n; t->n_modules++)
                r = read_module(js_at(list, t->n_modules), /* identity= */ true, t->modules + t->n_modules,
                                reterr);
        return r;
}

int td_tcb_info_read(const char *text, size_t size, TdTcbInfo *ret, char **reterr) {
        _cleanup_(td_tcb_info_done) TdTcbInfo t = {};
        _cleanup_js_ Json *j = NULL;
        int r = js_parse(text, size, &j, reterr);

        if (r == 0)
                r = read_head(j, 3, &t.issued, &t.next, &t.evaluation, reterr);
        if (r == 0)
                r = read_word(j, "id", "TDX", reterr);
        if (r == 0)
                r = read_exact(j, "tcbType", 0, reterr);
        if (r == 0)
                r = read_hex(j, "fmspc", t.fmspc, sizeof(t.fmspc), reterr);
        if (r == 0)
                r = read_hex(j, "pceId", t.pceid, sizeof(t.pceid), reterr);
        if (r == 0)
                r = read_modules(j, &t, reterr);
        if (r == 0)
                r = read_levels(j, /* platform= */ true, &t.levels, reterr);
        if (r == 0)
                *ret = TAKE_STRUCT(t, (TdTcbInfo) {});
        return r;
}

int td_qe_identity_read(const char *text, size_t size, TdQeIdentity *ret, char **reterr) {
        _cleanup_(td_qe_identity_done) TdQeIdentity q = {};
        _cleanup_js_ Json *j = NULL;
        int r = js_parse(text, size, &j, reterr);

        if (r == 0)
                r = read_head(j, 2, &q.issued, &q.next, &q.evaluation, reterr);
        if (r == 0)
                r = read_word(j, "id", "TD_QE", reterr);
        if (r == 0)
                r = read_hex(j, "miscselect", q.miscselect, sizeof(q.miscselect), reterr);
        if (r == 0)
                r = read_hex(j, "miscselectMask", q.miscselect_mask, sizeof(q.miscselect_mask), reterr);
        if (r == 0)
                r = read_hex(j, "attributes", q.attributes, sizeof(q.attributes), reterr);
        if (r == 0)
                r = read_hex(j, "attributesMask", q.attributes_mask, sizeof(q.attributes_mask), reterr);
        if (r == 0)
                r = read_hex(j, "mrsigner", q.mrsigner, sizeof(q.mrsigner), reterr);
        if (r == 0)
                r = read_number(j, "isvprodid", &q.isvprodid, reterr);
        if (r == 0)
                r = read_levels(j, /* platform= */ false, &q.levels, reterr);
        if (r == 0)
                *ret = TAKE_STRUCT(q, (TdQeIdentity) {});
        return r;
}
