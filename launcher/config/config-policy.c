/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --coco-policy=: guest policy by name or number.
 *
 * SEV, SEV-ES (AMD 55766, "Guest policy"): bit 0 NODBG, 1 NOKS, 2 ES, 3 NOSEND, 4 DOMAIN, 5 SEV, 16-31 minimum API version.
 * SEV-SNP (AMD 56860, "Guest policy"): 0-15 minimum ABI version, 16 SMT, 17 must be one, 18 MIGRATE_MA, 19 DEBUG,
 * 20 SINGLE_SOCKET, 21 CXL_ALLOW, 22 MEM_AES_256_XTS, 23 RAPL_DIS, 24 CIPHERTEXT_HIDING_DRAM, 25 PAGE_SWAP_DISABLE. */

#include <inttypes.h>

#include "config.h"
#include "error.h"
#include "strutil.h"

#define SEV_POLICY_NODBG (UINT64_C(1) << 0)
#define SEV_POLICY_ES    (UINT64_C(1) << 2)
#define SNP_POLICY_ONE   (UINT64_C(1) << 17)
#define SNP_POLICY_DEBUG (UINT64_C(1) << 19)

typedef struct PolicyWord {
        const char *word;
        bool snp;
        bool clears; /* the word takes the bit away */
        uint64_t bit;
} PolicyWord;

static const PolicyWord policy_words[] = {
        { "debug", false, true, SEV_POLICY_NODBG },
        { "nodbg", false, false, SEV_POLICY_NODBG },
        { "keysharing", false, true, UINT64_C(1) << 1 },
        { "noks", false, false, UINT64_C(1) << 1 },
        { "nosend", false, false, UINT64_C(1) << 3 },
        { "domain", false, false, UINT64_C(1) << 4 },
        { "sev", false, false, UINT64_C(1) << 5 },
        { "smt", true, false, UINT64_C(1) << 16 },
        { "nosmt", true, true, UINT64_C(1) << 16 },
        { "migrate-ma", true, false, UINT64_C(1) << 18 },
        { "debug", true, false, SNP_POLICY_DEBUG },
        { "single-socket", true, false, UINT64_C(1) << 20 },
        { "cxl-allow", true, false, UINT64_C(1) << 21 },
        { "mem-aes-256-xts", true, false, UINT64_C(1) << 22 },
        { "rapl-dis", true, false, UINT64_C(1) << 23 },
        { "ciphertext-hiding", true, false, UINT64_C(1) << 24 },
        { "page-swap-disable", true, false, UINT64_C(1) << 25 },
};

static int apply_word(SevMode mode, const char *word, uint64_t *policy, char **reterr) {
        _cleanup_(text_done) Text known = {};
        bool snp = mode == SEV_MODE_SEV_SNP;

        FOREACH_ARRAY(w, policy_words, ELEMENTSOF(policy_words)) {
                if (w->snp != snp)
                        continue;
                if (streq(w->word, word)) {
                        *policy = w->clears ? *policy & ~w->bit : *policy | w->bit;
                        return 0;
                }
                text_putf(&known, "%s%s", known.size > 0 ? ", " : "", w->word);
        }
        return error_set(reterr, -EINVAL, "--coco-policy: '%s' is neither a number nor one of %s", word,
                        known.data ?: "");
}

/* What the mode demands of any policy. */
static int check_policy(SevMode mode, uint64_t policy, bool debug_word, char **reterr) {
        bool debug = mode == SEV_MODE_SEV_SNP ? policy & SNP_POLICY_DEBUG : !(policy & SEV_POLICY_NODBG);

        if (mode != SEV_MODE_SEV_SNP && policy > UINT32_MAX)
                return error_set(reterr, -EINVAL,
                                "--coco-policy: 0x%" PRIx64 " does not fit the 32 bits of a %s policy",
                                policy, sev_mode_to_string(mode));
        if (mode == SEV_MODE_SEV_SNP && !(policy & SNP_POLICY_ONE))
                return error_set(reterr, -EINVAL,
                                "--coco-policy: 0x%" PRIx64
                                " is no SEV-SNP policy, bit 17 must be set (0x30000 is the usual one; SEV "
                                "policies such as 0x7 do not fit)",
                                policy);
        if (mode == SEV_MODE_SEV_ES && !(policy & SEV_POLICY_ES))
                return error_set(reterr, -EINVAL,
                                "--coco-policy: 0x%" PRIx64
                                " has bit 2 (ES) clear, which makes it a plain SEV policy; set it or use "
                                "--coco=sev",
                                policy);
        if (mode == SEV_MODE_SEV && (policy & SEV_POLICY_ES))
                return error_set(reterr, -EINVAL,
                                "--coco-policy: 0x%" PRIx64
                                " has bit 2 (ES) set, which makes it an SEV-ES policy; use --coco=sev-es",
                                policy);
        if (debug && !debug_word)
                return error_set(reterr, -EINVAL,
                                "--coco-policy: 0x%" PRIx64
                                " lets the host debug the guest and read its memory; if that is meant, add "
                                "--coco-policy=debug",
                                policy);
        return 0;
}

int vm_config_policy(const VmConfig *c, uint64_t *ret, char **reterr) {
        static const uint64_t defaults[] = {
                [SEV_MODE_NONE] = 0,
                [SEV_MODE_SEV] = 0x3,
                [SEV_MODE_SEV_ES] = 0x7,
                [SEV_MODE_SEV_SNP] = 0x30000,
        };
        static_assert(ELEMENTSOF(defaults) == _SEV_MODE_MAX, "every mode has a policy");
        uint64_t policy = defaults[c->coco];
        bool debug_word = false;

        if (c->coco == SEV_MODE_NONE) {
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
                        r = apply_word(c->coco, *w, &policy, reterr);
                        if (r < 0)
                                return r;
                }
        }

        int r = check_policy(c->coco, policy, debug_word, reterr);
        if (r < 0)
                return r;
        *ret = policy;
        return 0;
}
