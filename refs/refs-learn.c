/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refs-learn.h"

#include <errno.h>
#include <string.h>

#include "attest-verdict.h"
#include "encode.h"
#include "error.h"
#include "refs-judge.h"

typedef struct Lowest {
        SnpTcb tcb;
        const RefsSeen *from[_SNP_TCB_PART_MAX]; /* which report each part is of */
        bool any;
} Lowest;

typedef struct Bit {
        const char *name;
        uint64_t mask;
        const RefsSeen *on, *off; /* one of those that have it so */
} Bit;

typedef struct Learning {
        RefsBundle *bundle;
        Lowest lowest[_SNP_GENERATION_MAX];
        Bit smt, tsme;
        bool lower;
        Text *notes;
} Learning;

static const char *member(const RefsSeen *s, const char *name) {
        return js_string_value(js_get(js_get(s->result, "report"), name));
}

static int take_tcb(Learning *g, const RefsSeen *s, SnpGeneration generation, char **reterr) {
        const char *raw =
                        js_string_value(js_get(js_get(js_get(s->result, "report"), "reported-tcb"), "raw"));
        Lowest *l = g->lowest + generation;
        uint8_t bytes[SNP_TCB_SIZE];
        SnpTcb tcb;

        if (!raw || hex_decode_exact(raw, bytes, sizeof(bytes)) < 0 ||
                        snp_tcb_decode(bytes, generation, &tcb) < 0)
                return error_set(reterr, -EINVAL, "%s: the report has no TCB version of %s", s->path,
                                snp_generation_product(generation));
        for (int p = 0; p < _SNP_TCB_PART_MAX; p++)
                if (!l->any || tcb.part[p] < l->tcb.part[p]) {
                        l->tcb.part[p] = tcb.part[p];
                        l->from[p] = s;
                }
        l->any = true;
        return 0;
}

static void take_bit(Bit *b, const RefsSeen *s, uint64_t platform) {
        if (platform & b->mask)
                b->on = s;
        else
                b->off = s;
}

static int add_learned(Learning *g, const RefsSeen *s, uint64_t platform, uint64_t now, char **reterr) {
        const Json *report = js_get(s->result, "report");
        Json *j = NULL;
        int r = js_build(&j, "{s:o, s:O, s:O, s:o, s:O, s:o}", "report",
                        js_hex(s->sha256, sizeof(s->sha256)), "generation", js_get(report, "generation"),
                        "reported-tcb", js_get(js_get(report, "reported-tcb"), "raw"), "platform-info",
                        js_u64(platform), "version", js_get(report, "version"), "seen", js_u64(now));

        return r < 0 ? error_set(reterr, r, "%s: the report lacks a member", s->path)
                     : js_append(g->bundle->learned, j);
}

/* For the exit status, which is that of `report verify`. */
static int errno_of(const char *verdict) {
        if (verdict && streq(verdict, verdict_to_string(VERDICT_COLLATERAL_UNAVAILABLE)))
                return -ENODATA;
        return verdict && streq(verdict, verdict_to_string(VERDICT_POLICY_NOT_MET)) ? -ESTALE
                                                                                    : -EKEYREJECTED;
}

static int take(Learning *g, const RefsSeen *s, uint64_t now, char **reterr) {
        const char *verdict = js_string_value(js_get(s->result, "verdict")),
                   *generation = js_string_value(js_get(s->result, "generation")),
                   *platform = member(s, "platform-info");
        SnpGeneration which = generation ? snp_generation_from_string(generation) : _SNP_GENERATION_INVALID;
        uint64_t bits;
        int r;

        if (!verdict || !streq(verdict, "verified"))
                return error_set(reterr, errno_of(verdict),
                                "%s: not verified (%s); only verified reports teach", s->path,
                                verdict ?: "no verdict");
        if (which < 0 || !platform || parse_u64(platform, &bits) < 0)
                return error_set(reterr, -EINVAL, "%s: the report names no processor generation or platform",
                                s->path);
        r = take_tcb(g, s, which, reterr);
        if (r < 0)
                return r;
        take_bit(&g->smt, s, bits);
        take_bit(&g->tsme, s, bits);
        return add_learned(g, s, bits, now, reterr);
}

/* --- what changes ---------------------------------------------------------------------------------------------------- */

static int set_part(Learning *g, SnpGeneration generation, SnpTcbPart p, char **reterr) {
        const Lowest *l = g->lowest + generation;
        uint8_t *old = &g->bundle->tcb[generation].part[p], new = l->tcb.part[p];
        const char *what = snp_generation_to_string(generation), *part = snp_tcb_part_to_string(p);

        if (new < *old && !g->lower)
                return error_set(reterr, -ESTALE,
                                "%s: the floor of %s %s would fall from %u to %u; update that machine, or pass --lower",
                                l->from[p]->path, what, part, *old, new);
        if (new != *old)
                text_putf(g->notes, "%s %s: %u -> %u%s (%s)\n", what, part, *old, new,
                                new < *old ? ", LOWERED" : "", l->from[p]->path);
        *old = new;
        return 0;
}

static int set_floor(Learning *g, SnpGeneration generation, char **reterr) {
        _cleanup_free_ char *text = NULL;
        RefsBundle *b = g->bundle;
        int r = 0;

        if (!b->has_tcb[generation]) {
                b->has_tcb[generation] = true;
                b->tcb[generation] = g->lowest[generation].tcb;
                text = snp_tcb_text(b->tcb + generation, generation);
                text_putf(g->notes, "%s: %s (new)\n", snp_generation_to_string(generation), text ?: "?");
                return text ? 0 : -ENOMEM;
        }
        for (int p = 0; r >= 0 && p < _SNP_TCB_PART_MAX; p++)
                if (snp_generation_has_tcb_part(generation, (SnpTcbPart) p))
                        r = set_part(g, generation, (SnpTcbPart) p, reterr);
        return r;
}

static int set_bit(Learning *g, const Bit *bit, bool *has, bool *value, char **reterr) {
        const RefsSeen *other = *has ? (*value ? bit->off : bit->on) : NULL;
        bool both = bit->on && bit->off;

        if (other && !g->lower)
                return error_set(reterr, -ESTALE,
                                "%s: %s is %s there, and the bundle expects it %s; change that machine, or pass --lower",
                                other->path, bit->name, *value ? "off" : "on", *value ? "on" : "off");
        if (both)
                text_putf(g->notes, "%s: differs between the reports, so it is not expected%s\n", bit->name,
                                *has ? ", LOWERED" : "");
        else if (!*has || other)
                text_putf(g->notes, "%s: %s%s\n", bit->name, bit->on ? "on" : "off",
                                other ? ", CHANGED" : "");
        *has = !both;
        *value = !both && bit->on;
        return 0;
}

int refs_learn(RefsBundle *b, const RefsLesson *lesson, Text *notes, char **reterr) {
        Learning g = { .bundle = b,
                .smt = { .name = "SMT", .mask = REFS_PLATFORM_SMT },
                .tsme = { .name = "TSME", .mask = REFS_PLATFORM_TSME },
                .lower = lesson->lower,
                .notes = notes };
        int r = 0;

        if (!b->learned)
                b->learned = js_array();
        if (!b->learned)
                return -ENOMEM;
        FOREACH_ARRAY(s, lesson->seen, lesson->n) {
                r = take(&g, s, lesson->now, reterr);
                if (r < 0)
                        return r;
        }
        for (int i = 0; r >= 0 && i < _SNP_GENERATION_MAX; i++)
                if (g.lowest[i].any)
                        r = set_floor(&g, (SnpGeneration) i, reterr);
        if (r >= 0)
                r = set_bit(&g, &g.smt, &b->platform.has_smt, &b->platform.smt, reterr);
        return r < 0 ? r : set_bit(&g, &g.tsme, &b->platform.has_tsme, &b->platform.tsme, reterr);
}
