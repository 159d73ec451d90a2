/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "remote.h"
#include "strutil.h"
#include "td-pcs-internal.h"
#include "td-verify-internal.h"

#define ROUNDS_MAX 4u /* lists, TCB info, QE identity: three fetches at most lie between two verdicts */

/* --- one answer ---------------------------------------------------------------------------------------------------------- */

/* What is wanted, and where it comes from and goes to. */
typedef struct Question {
        const TdPcs *pcs;
        const TdPcsItem *item;
        char *name, *url; /* owned */
        int dir;          /* owned: the cache; -EBADF: none */
        TdPcsAnswer answer;
} Question;

static void question_done(Question *q) {
        free(q->name);
        free(q->url);
        free(q->answer.body);
        free(q->answer.header);
        (void) fd_close(q->dir);
}

static int once(void *context, unsigned *ret_status, unsigned *ret_retry_after, char **reterr) {
        Question *q = context;
        const TdPcs *k = q->pcs;
        int r;

        free(TAKE_PTR(q->answer.body));
        free(TAKE_PTR(q->answer.header));
        r = k->get(k->userdata, q->url, td_pcs_header(q->item->kind), TD_PCS_ANSWER_MAX, &q->answer, reterr);
        *ret_status = q->answer.status;
        *ret_retry_after = q->answer.retry_after;
        return r;
}

static int ask(Question *q, unsigned patience, char **reterr) {
        const TdPcs *k = q->pcs;
        const RemotePace pace = { .who = TD_PCS_ORIGIN,
                .url = k->url ?: TD_PCS_URL,
                .dir = q->dir,
                .patience = patience,
                .clock = k->clock,
                .wait = k->wait,
                .userdata = k->userdata };
        int r = remote_ask(&pace, once, q, reterr);

        if (r == 404)
                return error_set(reterr, -ENOENT, "%s does not have it%s", q->url,
                                q->item->kind == TD_PCS_TCB_INFO
                                                ? ": Intel has no TCB info for TDX on processors of this FMSPC"
                                                : "");
        return MIN(r, 0);
}

/* Only what is genuine and not overdue, and not older than what is in the cache, is used, and is kept. */
static int accept_answer(Question *q, char **ret, size_t *ret_size, char **reterr) {
        const TdPcs *k = q->pcs;
        _cleanup_free_ char *file = NULL, *why = NULL;
        size_t n;
        int r = td_pcs_form_write(q->item->kind, &q->answer, &file, &n, &why);

        if (r >= 0)
                r = td_pcs_store(k, q->name, file, n, &why);
        if (r == -ENOMEM)
                return r;
        if (r == -EBADMSG || r == -EKEYREJECTED || r == -ESTALE)
                return error_set(reterr, -EPROTO, "the answer of %s is not used: %s", q->url, why ?: "?");
        /* A cache that cannot be written makes us slow, not wrong. */
        *ret = TAKE_PTR(file);
        *ret_size = n;
        return 0;
}

static bool is_current(const TdPcs *k, const TdPcsKept *kept) {
        return kept->data && k->now >= kept->this_update && k->now <= kept->next_update;
}

/* One request at a time on this machine; the process that held the lock may have fetched it, and the time spent waiting counts. */
static int fetch_locked(Question *q, TdPcsKept *kept, char **reterr) {
        const TdPcs *k = q->pcs;
        _cleanup_close_ int lock = q->dir < 0
                        ? -EBADF
                        : openat(q->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        unsigned patience = k->patience;
        size_t n = 0;
        char *p;
        int r;

        if (lock >= 0) {
                int64_t before = k->clock(k->userdata), waited;

                if (flock(lock, LOCK_EX) < 0)
                        return -errno;
                td_pcs_kept_done(kept);
                r = td_pcs_load(k, q->name, kept);
                if (r == -ENOMEM || (r == 0 && is_current(k, kept)))
                        return r;
                waited = k->clock(k->userdata) - before;
                patience -= waited > 0 ? (unsigned) MIN(waited, (int64_t) patience) : 0;
        }
        r = ask(q, patience, reterr);
        if (r == 0)
                r = accept_answer(q, &p, &n, reterr);
        if (r < 0)
                return r;
        td_pcs_kept_done(kept);
        kept->data = p;
        kept->size = n;
        return 0;
}

static int add(const Question *q, const TdPcsKept *kept, TdCollateral *pool, char **reterr) {
        _cleanup_(td_pcs_form_done) TdPcsForm f = {};
        _cleanup_free_ char *origin = NULL;
        int r = td_pcs_form_read(q->item->kind, kept->data, kept->size, &f);

        if (r == 0 && asprintf(&origin, TD_PCS_ORIGIN " (%s)", q->name) < 0) {
                origin = NULL;
                r = -ENOMEM;
        }
        if (r == 0 && f.chain_size > 0)
                r = td_collateral_add(pool, f.chain, f.chain_size, origin, reterr);
        return r == 0 ? td_collateral_add(pool, f.body, f.body_size, origin, reterr) : r;
}

/* What an old list revokes is revoked. An old statement is of no use. */
static bool serves_overdue(const Question *q, const TdPcsKept *kept) {
        return kept->data && q->item->kind != TD_PCS_TCB_INFO && q->item->kind != TD_PCS_QE_IDENTITY;
}

/* From the cache or the service. */
static int fetch(Question *q, TdPcsKept *kept, char **reterr) {
        const TdPcs *k = q->pcs;
        _cleanup_free_ char *why = NULL;
        int r = td_pcs_load(k, q->name, kept);

        if (r == -ENOMEM || is_current(k, kept))
                return r;
        if (k->offline || !k->get)
                r = error_set(&why, -ENOENT,
                                "%s (%s) is %s the cache%s%s, and --offline forbids downloading it", q->url,
                                q->name,
                                !kept->data                                  ? "not in"
                                                : k->now < kept->this_update ? "too new in"
                                                                             : "overdue in",
                                k->cache ? " " : "", k->cache ?: "");
        else
                r = fetch_locked(q, kept, &why);
        if (r >= 0 || r == -ENOMEM)
                return r;
        return error_set(reterr, -ENOENT, "%s", why ?: "the cache cannot be locked");
}

int td_pcs_fetch(const TdPcs *k, const TdPcsItem *item, TdCollateral *pool, char **reterr) {
        _cleanup_(td_pcs_kept_done) TdPcsKept kept = {};
        _cleanup_(question_done) Question q = {
                .pcs = k, .item = item, .dir = k->cache ? remote_cache_open(k->cache) : -EBADF
        };
        int r = td_pcs_file(item, &q.name);

        if (r >= 0)
                r = td_pcs_address(item, k->url, &q.url);
        if (r < 0)
                return r;
        r = fetch(&q, &kept, reterr);
        if (r == -ENOMEM || (r < 0 && !serves_overdue(&q, &kept)))
                return r;
        return add(&q, &kept, pool, reterr) == -ENOMEM ? -ENOMEM : r;
}

/* --- until there is a verdict -------------------------------------------------------------------------------------------- */

void td_pcs_missing(const TdResult *result, SnpCrlMode crl, TdPcsItem ret[static TD_PCS_ITEMS_MAX],
                size_t *ret_n) {
        size_t n = 0;

        *ret_n = 0;
        if (result->verdict != VERDICT_COLLATERAL_UNAVAILABLE || !result->ca)
                return;
        if (result->step == TD_STEP_COLLATERAL || result->step == TD_STEP_MODULE) {
                if (result->step == TD_STEP_MODULE || !result->tcb_info) {
                        ret[n].kind = TD_PCS_TCB_INFO;
                        memcpy(ret[n++].fmspc, result->pck.fmspc, TD_FMSPC_SIZE);
                } else
                        ret[n++] = (TdPcsItem) { .kind = TD_PCS_QE_IDENTITY };
        } else if (result->step != TD_STEP_REVOCATION)
                return;
        if (crl != SNP_CRL_OFF && (result->crl_note || result->step == TD_STEP_REVOCATION)) {
                ret[n++] = (TdPcsItem) { .kind = TD_PCS_ROOT_CRL };
                ret[n++] = (TdPcsItem) { .kind = streq(result->ca->common_name, TD_PROCESSOR_CA)
                                        ? TD_PCS_PROCESSOR_CRL
                                        : TD_PCS_PLATFORM_CRL };
        }
        *ret_n = n;
}

/* The first failure, after everything was tried. Of lists that are not required a failure is none. */
static int complete(const TdPcs *k, const TdResult *result, const TdVerifyInput *in, char **reterr) {
        TdPcsItem items[TD_PCS_ITEMS_MAX];
        int failure = 0;
        size_t n;

        td_pcs_missing(result, in->crl, items, &n);
        for (size_t i = 0; i < n; i++) {
                bool needed = result->step == TD_STEP_REVOCATION || i == 0;
                int r = td_pcs_fetch(k, &items[i], in->collateral, needed ? reterr : NULL);

                if (r == -ENOMEM)
                        return r;
                if (r < 0 && needed)
                        failure = r;
        }
        return failure;
}

static size_t pool_size(const TdCollateral *c) {
        return c->n_certificates + c->n_crls + c->n_statements;
}

int td_pcs_verify(const TdPcs *k, const TdVerifyInput *in, TdResult *ret) {
        for (unsigned round = 0;; round++) {
                size_t before = pool_size(in->collateral);
                _cleanup_free_ char *why = NULL;
                TdPcs rooted = *k;
                int r = td_verify(in, ret);

                if (r < 0)
                        return r;
                if (ret->verdict != VERDICT_COLLATERAL_UNAVAILABLE || round == ROUNDS_MAX)
                        return 0;
                rooted.root = ret->root;
                r = complete(&rooted, ret, in, &why);
                if (r == -ENOMEM)
                        return r;
                /* Nothing came that could change the verdict. */
                if (pool_size(in->collateral) == before)
                        return sentence_append(&ret->sentence, why);
                td_result_done(ret);
        }
}
