/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a bundle that is built from other bundles keeps of them: what they expect of machines, name and expiry. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "log.h"
#include "refs.h"
#include "strutil.h"

static int differs(const char *member, const char *option, char **reterr) {
        return error_set(reterr, -EINVAL,
                        "'%s' differs from that of another bundle; pass %s to say which one holds", member,
                        option);
}

static int inherit_name(const RefsArguments *a, RefsBundle *b, const RefsBundle *from, char **reterr) {
        if (a->name || !from->name || streq_ptr(b->name, from->name))
                return 0;
        if (b->name)
                return differs("name", "--name=", reterr);
        b->name = strdup(from->name);
        return b->name ? 0 : -ENOMEM;
}

static int inherit_platform(const RefsArguments *a, RefsBundle *b, const RefsBundle *from, char **reterr) {
        const RefsPlatform *p = &from->platform;

        if (a->platform)
                return 0;
        if ((p->has_smt && b->platform.has_smt && p->smt != b->platform.smt) ||
                        (p->has_tsme && b->platform.has_tsme && p->tsme != b->platform.tsme))
                return differs("platform", "--platform=", reterr);
        if (p->has_smt) {
                b->platform.has_smt = true;
                b->platform.smt = p->smt;
        }
        if (p->has_tsme) {
                b->platform.has_tsme = true;
                b->platform.tsme = p->tsme;
        }
        return 0;
}

/* An option replaces the floors of its generation alone. */
static int inherit_tcb(const RefsBundle *asked, RefsBundle *b, const RefsBundle *from, char **reterr) {
        for (int g = 0; g < _SNP_GENERATION_MAX; g++) {
                if (!from->has_tcb[g] || asked->has_tcb[g])
                        continue;
                if (b->has_tcb[g] && memcmp(b->tcb + g, from->tcb + g, sizeof(SnpTcb)) != 0)
                        return differs("tcb", "--tcb=", reterr);
                b->has_tcb[g] = true;
                b->tcb[g] = from->tcb[g];
        }
        return 0;
}

static int inherit_learned(RefsBundle *b, const RefsBundle *from) {
        int r = 0;

        if (from->learned && !b->learned && !(b->learned = js_array()))
                return -ENOMEM;
        for (size_t i = 0; r >= 0 && i < js_length(from->learned); i++)
                r = js_append(b->learned, js_ref((Json *) js_at(from->learned, i)));
        return r;
}

int refs_inherit(const RefsArguments *a, const RefsBundle *asked, RefsBundle *b, const RefsBundle *from,
                char **reterr) {
        int r = inherit_name(a, b, from, reterr);

        if (r >= 0)
                r = inherit_platform(a, b, from, reterr);
        if (r >= 0)
                r = inherit_tcb(asked, b, from, reterr);
        if (r >= 0)
                r = inherit_learned(b, from);
        if (r < 0)
                return r;
        if (a->valid == 0 && from->expires > 0) {
                if (b->expires > 0 && b->expires != from->expires)
                        return differs("expires", "--valid=", reterr);
                b->expires = from->expires;
        }
        if (!a->policy_given && from->has_guest_policy) {
                if (b->has_guest_policy && b->guest_policy != from->guest_policy)
                        return differs("guest-policy", "--guest-policy=", reterr);
                b->has_guest_policy = true;
                b->guest_policy = from->guest_policy;
        }
        if (from->id.given && !a->id_key)
                log_warning("the ID blocks of a bundle are dropped; pass --id-key= to sign new ones");
        return 0;
}
