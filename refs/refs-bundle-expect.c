/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a bundle expects of machines: platform bits, TCB versions, and the reports that they were learned from. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "refs-bundle-internal.h"
#include "strutil.h"

int refs_read_platform(const Json *v, void *target, char **reterr) {
        static const char *const known[] = { "smt", "tsme" };
        RefsPlatform *p = &((RefsBundle *) target)->platform;
        int r = refs_check_members(v, known, ELEMENTSOF(known), reterr);

        if (r < 0)
                return r;
        p->has_smt = js_get(v, "smt");
        p->has_tsme = js_get(v, "tsme");
        if ((p->has_smt && js_bool_value(js_get(v, "smt"), &p->smt) < 0) ||
                        (p->has_tsme && js_bool_value(js_get(v, "tsme"), &p->tsme) < 0))
                return error_set(reterr, -EINVAL, "'smt' and 'tsme' are true or false");
        return 0;
}

static int read_tcb_parts(const Json *v, SnpGeneration g, SnpTcb *tcb, char **reterr) {
        if (!js_is_object(v))
                return error_set(reterr, -EINVAL, "expected an object");
        for (int p = 0; p < _SNP_TCB_PART_MAX; p++) {
                const char *name = snp_tcb_part_to_string((SnpTcbPart) p);
                bool has = snp_generation_has_tcb_part(g, (SnpTcbPart) p);
                uint64_t n;

                if (!has && js_get(v, name))
                        return error_set(reterr, -EINVAL, "this generation has no '%s'", name);
                if (!has)
                        continue;
                if (js_u64_value(js_get(v, name), &n) < 0 || n > UINT8_MAX)
                        return error_set(reterr, -EINVAL, "'%s': expected 0 to 255", name);
                tcb->part[p] = (uint8_t) n;
        }
        for (void *i = js_iter(v); i; i = js_iter_next(v, i)) {
                bool known = false;

                for (int p = 0; p < _SNP_TCB_PART_MAX; p++)
                        known = known || streq(js_iter_key(i), snp_tcb_part_to_string((SnpTcbPart) p));
                if (!known)
                        return error_set(reterr, -EINVAL, "unknown member '%s'", js_iter_key(i));
        }
        return 0;
}

int refs_read_tcb(const Json *v, void *target, char **reterr) {
        RefsBundle *b = target;

        if (!js_is_object(v))
                return error_set(reterr, -EINVAL, "expected an object");
        for (void *i = js_iter(v); i; i = js_iter_next(v, i)) {
                SnpGeneration g = snp_generation_from_string(js_iter_key(i));
                int r;

                if (g < 0 || !streq(snp_generation_to_string(g), js_iter_key(i)))
                        return error_set(reterr, -EINVAL, "unknown generation '%s'", js_iter_key(i));
                b->has_tcb[g] = true;
                r = read_tcb_parts(js_iter_value(i), g, b->tcb + g, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "'%s'", js_iter_key(i));
        }
        return 0;
}

int refs_read_learned(const Json *v, void *target, char **reterr) {
        static const char *const known[] = { "generation", "platform-info", "report", "reported-tcb", "seen",
                "version" };
        uint64_t n;

        for (size_t i = 0; i < js_length(v); i++) {
                const Json *x = js_at(v, i);
                int r = refs_check_members(x, known, ELEMENTSOF(known), reterr);

                if (r >= 0)
                        r = refs_check_hex(x, "report", SHA256_SIZE, reterr);
                if (r >= 0)
                        r = refs_check_hex(x, "reported-tcb", SNP_TCB_SIZE, reterr);
                if (r >= 0 &&
                                (js_u64_value(js_get(x, "seen"), &n) < 0 ||
                                                js_u64_value(js_get(x, "platform-info"), &n) < 0 ||
                                                js_u64_value(js_get(x, "version"), &n) < 0 ||
                                                !js_string_value(js_get(x, "generation"))))
                        r = error_set(reterr, -EINVAL, "a member is missing");
                if (r < 0)
                        return error_prefix(reterr, r, "entry %zu", i + 1);
        }
        if (!js_is_array(v))
                return error_set(reterr, -EINVAL, "expected a list");
        ((RefsBundle *) target)->learned = js_ref((Json *) v);
        return 0;
}
