/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refs-diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "refs-diff-expect.h"
#include "refs-diff-pair.h"
#include "refs-registers.h"
#include "strutil.h"

typedef struct Row {
        size_t pair;
        const RefsLaunch *launch;
        const RefsRun *run;
        unsigned vcpus;
        const uint8_t *digest;
} Row;

typedef struct Rows {
        Row *list;      /* owned, by pair, CPU and vCPUs */
        Row **by_value; /* owned: the same by digest */
        size_t n;
} Rows;

static void rows_done(Rows *r) {
        free(r->list);
        free(r->by_value);
}

static int compare_places(const Row *a, const Row *b) {
        if (a->pair != b->pair)
                return a->pair < b->pair ? -1 : 1;
        if (a->run->has_signature != b->run->has_signature)
                return a->run->has_signature ? 1 : -1;
        if (a->run->signature != b->run->signature)
                return a->run->signature < b->run->signature ? -1 : 1;
        if (!a->run->has_signature && !streq_ptr(a->run->model, b->run->model))
                return !a->run->model ? -1 : !b->run->model ? 1 : strcmp(a->run->model, b->run->model);
        return a->vcpus < b->vcpus ? -1 : a->vcpus > b->vcpus;
}

/* The registers of a TD are part of its row's value. */
static int compare_values(const Row *a, const Row *b) {
        size_t n = a->launch->digest_size;
        int c;

        if (n != b->launch->digest_size)
                return n < b->launch->digest_size ? -1 : 1;
        c = memcmp(a->digest, b->digest, n);
        return c != 0 ? c : refs_registers_compare(a->launch, b->launch);
}

static int order_by_place(const void *a, const void *b) {
        int c = compare_places(a, b);

        return c != 0 ? c : compare_values(a, b);
}

static int order_by_value(const void *a, const void *b) {
        return compare_values(*(const Row *const *) a, *(const Row *const *) b);
}

static int rows_of(const RefsBundle *b, const size_t *pairs, Rows *ret) {
        ret->list = calloc(b->n_rows + 1, sizeof(Row));
        ret->by_value = calloc(b->n_rows + 1, sizeof(Row *));
        if (!ret->list || !ret->by_value)
                return -ENOMEM;
        FOREACH_ARRAY(l, b->launches, b->n_launches)
                FOREACH_ARRAY(run, l->runs, l->n_runs)
                        for (size_t i = 0; i < run->n; i++)
                                ret->list[ret->n++] = (Row) { pairs[l - b->launches], l, run,
                                        run->vcpus > 0 ? run->vcpus + (unsigned) i : 0,
                                        run->digests + i * l->digest_size };
        qsort(ret->list, ret->n, sizeof(Row), order_by_place);
        for (size_t i = 0; i < ret->n; i++)
                ret->by_value[i] = ret->list + i;
        qsort(ret->by_value, ret->n, sizeof(Row *), order_by_value);
        return 0;
}

static bool has_value(const Rows *rows, const Row *row) {
        return bsearch(&row, rows->by_value, rows->n, sizeof(Row *), order_by_value) != NULL;
}

/* --- one pair --------------------------------------------------------------------------------------------------------- */

typedef struct Counts {
        uint64_t same, changed, came, went;
        bool incomplete;
} Counts;

typedef struct Diff {
        Rows old, new;
        Counts counts;
        /* Digests of the family of the new launch that was asked last, for one CPU; owned. */
        const RefsLaunch *family_of;
        uint64_t signature;
        uint8_t *digests;
} Diff;

static void diff_done(Diff *d) {
        rows_done(&d->old);
        rows_done(&d->new);
        free(d->digests);
}

/* 1: the family of the new launch has the digest of the old row. */
static int is_member(Diff *d, const RefsLaunch *l, const Row *row) {
        int r;

        if (!l || !l->has_family || row->vcpus == 0 || row->vcpus > l->family_vcpus ||
                        l->digest_size != row->launch->digest_size ||
                        (launch_family_has_signature(&l->family) && !row->run->has_signature))
                return 0;
        if (d->family_of != l || d->signature != row->run->signature) {
                free(d->digests);
                d->family_of = NULL;
                d->digests = malloc(l->family_vcpus * l->digest_size);
                if (!d->digests)
                        return -ENOMEM;
                r = launch_family_digests(
                                &l->family, 1, l->family_vcpus, (uint32_t) row->run->signature, d->digests);
                if (r < 0)
                        return r;
                d->family_of = l;
                d->signature = row->run->signature;
        }
        return memcmp(d->digests + (row->vcpus - 1) * l->digest_size, row->digest, l->digest_size) == 0;
}

static int put_row(Json *list, const Row *old, const Row *new) {
        const Row *row = old ?: new;
        _cleanup_js_ Json *j = js_object();
        int r = j ? 0 : -ENOMEM;

        if (r >= 0 && row->run->model)
                r = js_set(j, "cpu-model", js_string(row->run->model));
        if (r >= 0 && row->run->has_signature)
                r = js_set(j, "vcpu-sig", js_u64(row->run->signature));
        if (r >= 0 && row->vcpus > 0)
                r = js_set(j, "vcpus", js_u64(row->vcpus));
        if (r >= 0 && old)
                r = js_set(j, "old", js_hex(old->digest, old->launch->digest_size));
        if (r >= 0 && new)
                r = js_set(j, "new", js_hex(new->digest, new->launch->digest_size));
        if (r >= 0 && coco_of(row->launch->mode)->event_log) {
                Json *registers = NULL;

                r = refs_registers_json(old ? old->launch : NULL, new ? new->launch : NULL, &registers);
                if (r >= 0)
                        r = js_set(j, "registers", registers);
        }
        return r < 0 ? r : js_append(list, TAKE_PTR(j));
}

typedef struct Lists {
        Json *changed, *came, *went; /* owned */
} Lists;

static void lists_done(Lists *l) {
        (void) js_unref(l->changed);
        (void) js_unref(l->came);
        (void) js_unref(l->went);
}

static int old_alone(Diff *d, Lists *lists, const RefsLaunch *new, const Row *row) {
        int r = has_value(&d->new, row) ? 1 : is_member(d, new, row);

        if (r != 0) {
                d->counts.same++;
                return r < 0 ? r : 0;
        }
        d->counts.went++;
        d->counts.incomplete = true;
        return put_row(lists->went, row, NULL);
}

static int new_alone(Diff *d, Lists *lists, const Row *row) {
        if (has_value(&d->old, row))
                return 0; /* counted where the old one was */
        d->counts.came++;
        return put_row(lists->came, NULL, row);
}

static int both(Diff *d, Lists *lists, const Row *old, const Row *new) {
        if (compare_values(old, new) == 0) {
                d->counts.same++;
                return 0;
        }
        d->counts.changed++;
        d->counts.incomplete = d->counts.incomplete || !has_value(&d->new, old);
        return put_row(lists->changed, old, new);
}

/* Rows of one pair, both sorted. */
static int compare_pair(Diff *d, const Row *a, size_t n_a, const Row *b, size_t n_b, Lists *lists) {
        const RefsLaunch *new = n_b > 0 ? b->launch : NULL;
        int r = 0;

        while (r >= 0 && (n_a > 0 || n_b > 0)) {
                int c = n_a == 0 ? 1 : n_b == 0 ? -1 : compare_places(a, b);

                if (c < 0)
                        r = old_alone(d, lists, new, a);
                else if (c > 0)
                        r = new_alone(d, lists, b);
                else
                        r = both(d, lists, a, b);
                if (c <= 0) {
                        a++;
                        n_a--;
                }
                if (c >= 0) {
                        b++;
                        n_b--;
                }
        }
        return r;
}

/* --- what is said about it ------------------------------------------------------------------------------------------- */

/* The part of an input that differs, if the others are the same: its name. */
static const char *changed_part(const RefsLaunch *old, const RefsLaunch *new, const char *input) {
        const Json *a = js_get(js_get(old->inputs, input), "parts"),
                   *b = js_get(js_get(new->inputs, input), "parts");
        const char *name = NULL;
        size_t n = js_length(a);

        if (n < 2 || n != js_length(b))
                return NULL;
        for (size_t i = 0; i < n; i++) {
                if (streq_ptr(js_string_value(js_get(js_at(a, i), "sha256")),
                                    js_string_value(js_get(js_at(b, i), "sha256"))))
                        continue;
                if (name)
                        return NULL;
                name = js_string_value(js_get(js_at(b, i), "name"));
        }
        return name;
}

static int put_inputs(Json *o, const RefsLaunch *old, const RefsLaunch *new) {
        const char *a[REFS_INPUTS], *b[REFS_INPUTS];
        _cleanup_js_ Json *list = js_array();
        char fa[32], fb[32];
        int r = list ? 0 : -ENOMEM;

        refs_launch_inputs(old, fa, a);
        refs_launch_inputs(new, fb, b);
        for (size_t i = 0; r >= 0 && i < REFS_INPUTS; i++) {
                Json *j = NULL;

                if (streq_ptr(a[i], b[i]))
                        continue;
                r = js_build(&j, "{s:s, s:s?, s:s?, s:s?}", "input", refs_input_names[i], "old", a[i], "new",
                                b[i], "part", changed_part(old, new, refs_input_names[i]));
                if (r >= 0)
                        r = js_append(list, j);
        }
        return r < 0 ? r : js_set(o, "inputs", TAKE_PTR(list));
}

static int set_launch(Json *o, const char *key, const RefsLaunch *l) {
        _cleanup_free_ char *text = NULL;
        int r = refs_launch_text(l, &text);

        return r < 0 ? r : js_set(o, key, js_string(text));
}

static int put_pair(Json *launches, const RefsLaunch *old, const RefsLaunch *new, Lists *lists) {
        const RefsLaunch *l = new ?: old;
        _cleanup_js_ Json *o = js_object();
        int r;

        if (js_length(lists->changed) == 0 && js_length(lists->came) == 0 && js_length(lists->went) == 0)
                return 0;
        r = o ? js_set(o, "technology", js_string(coco_mode_to_string(l->mode))) : -ENOMEM;
        if (r >= 0 && l->name)
                r = js_set(o, "name", js_string(l->name));
        if (r >= 0 && old)
                r = set_launch(o, "old", old);
        if (r >= 0 && new)
                r = set_launch(o, "new", new);
        if (r >= 0 && old && new)
                r = put_inputs(o, old, new);
        if (r >= 0)
                r = js_set(o, "changed", TAKE_PTR(lists->changed));
        if (r >= 0)
                r = js_set(o, "came", TAKE_PTR(lists->came));
        if (r >= 0)
                r = js_set(o, "went", TAKE_PTR(lists->went));
        return r < 0 ? r : js_append(launches, TAKE_PTR(o));
}

static size_t rows_in(const Rows *rows, size_t from, size_t pair) {
        size_t n = 0;

        while (from + n < rows->n && rows->list[from + n].pair == pair)
                n++;
        return n;
}

static int put_launches(Diff *d, size_t n_pairs, Json *launches) {
        size_t a = 0, b = 0;

        for (size_t pair = 0; pair < n_pairs; pair++) {
                size_t n_a = rows_in(&d->old, a, pair), n_b = rows_in(&d->new, b, pair);
                _cleanup_(lists_done) Lists lists = { js_array(), js_array(), js_array() };
                int r = lists.changed && lists.came && lists.went
                                ? compare_pair(d, d->old.list + a, n_a, d->new.list + b, n_b, &lists)
                                : -ENOMEM;

                if (r >= 0)
                        r = put_pair(launches, n_a > 0 ? d->old.list[a].launch : NULL,
                                        n_b > 0 ? d->new.list[b].launch : NULL, &lists);
                if (r < 0)
                        return r;
                a += n_a;
                b += n_b;
        }
        return 0;
}

int refs_diff(const RefsBundle *old, const RefsBundle *new, Json **ret, bool *ret_complete) {
        _cleanup_(refs_pairs_done) RefsPairs pairs = {};
        _cleanup_(diff_done) Diff d = {};
        _cleanup_js_ Json *launches = js_array(), *expectations = NULL;
        const Counts *c = &d.counts;
        int r = refs_pair(old, new, &pairs);

        if (r >= 0)
                r = rows_of(old, pairs.old, &d.old);
        if (r >= 0)
                r = rows_of(new, pairs.new, &d.new);
        if (r >= 0)
                r = launches ? put_launches(&d, pairs.n, launches) : -ENOMEM;
        if (r >= 0)
                r = refs_diff_expectations(old, new, &expectations);
        if (r >= 0)
                r = js_build(ret, "{s:O, s:O, s:{s:I, s:I, s:I, s:I}, s:b}", "launches", launches,
                                "expectations", expectations, "rows", "same", (long long) c->same, "changed",
                                (long long) c->changed, "came", (long long) c->came, "went",
                                (long long) c->went, "complete", !c->incomplete);
        if (r >= 0)
                *ret_complete = !c->incomplete;
        return r;
}
