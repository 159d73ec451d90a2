/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --coco-policy=: guest policy by word or number. The bits are those of sev/guest-policy.h. */

#include <inttypes.h>

#include "config.h"
#include "error.h"
#include "strutil.h"

static int apply_word(const Coco *coco, const char *word, uint64_t *policy, char **reterr) {
        _cleanup_(text_done) Text known = {};

        for (const CocoPolicyWord *w = coco->policy.words; w->word; w++) {
                if (streq(w->word, word)) {
                        *policy = w->clears ? *policy & ~w->bit : *policy | w->bit;
                        return 0;
                }
                text_putf(&known, "%s%s", known.size > 0 ? ", " : "", w->word);
        }
        return error_set(reterr, -EINVAL, "--coco-policy: '%s' is neither a number nor one of %s", word,
                        known.data ?: "");
}

/* What the technology demands of any policy. */
static int check_policy(const Coco *coco, uint64_t policy, bool debug_word, char **reterr) {
        const CocoPolicy *p = &coco->policy;

        if (policy > p->max)
                return error_set(reterr, -EINVAL,
                                "--coco-policy: 0x%" PRIx64 " does not fit the 32 bits of a %s policy",
                                policy, coco->label);
        if (!coco_policy_fits(coco, policy))
                return error_set(reterr, -EINVAL,
                                "--coco-policy: 0x%" PRIx64 " is not a valid %s policy: %s", policy,
                                coco->label, p->wrong);
        if (policy & p->unlaunched)
                return error_set(reterr, -EINVAL,
                                "--coco-policy: QEMU and Linux do not launch a %s guest with bit %d (0x%" PRIx64
                                "): clear it",
                                coco->label, __builtin_ctzll(policy & p->unlaunched),
                                policy & p->unlaunched);
        if (coco_policy_allows_debug(coco, policy) && !debug_word)
                return error_set(reterr, -EINVAL,
                                "--coco-policy: 0x%" PRIx64
                                " lets the host debug the guest and read its memory; to allow that, add --coco-policy=debug",
                                policy);
        return 0;
}

int vm_config_policy(const VmConfig *c, uint64_t *ret, char **reterr) {
        const Coco *coco = coco_of(c->coco);
        uint64_t policy = coco->policy.initial;
        bool debug_word = false;

        if (!vm_config_confidential(c)) {
                *ret = 0;
                return 0;
        }

        STRV_FOREACH(s, c->coco_policy) {
                _cleanup_strv_free_ char **words = NULL;
                int r = strv_split(*s, ',', &words);

                if (r < 0)
                        return r;
                STRV_FOREACH(w, words) {
                        uint64_t number;

                        if (parse_u64(*w, &number) >= 0) {
                                policy = number;
                                continue;
                        }
                        debug_word = debug_word || streq(*w, "debug");
                        r = apply_word(coco, *w, &policy, reterr);
                        if (r < 0)
                                return r;
                }
        }

        int r = check_policy(coco, policy, debug_word, reterr);
        if (r < 0)
                return r;
        *ret = policy;
        return 0;
}
