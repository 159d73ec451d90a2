/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "test.h"

#include "config.h"
#include "strutil.h"

/* What --coco-policy= makes of a mode's default; the bits are those of AMD 55766 and 56860, "Guest policy". */
static const struct {
        CocoMode mode;
        const char *words; /* NULL: none given */
        uint64_t policy;   /* 0: refused with `message` */
        const char *message;
} rows[] = {
        { COCO_SEV, NULL, 0x3, NULL },
        { COCO_SEV_ES, NULL, 0x7, NULL },
        { COCO_SEV_SNP, NULL, 0x30000, NULL },
        { COCO_SEV, "nosend", 0xb, NULL },
        { COCO_SEV, "nosend,domain,sev", 0x3b, NULL },
        { COCO_SEV, "keysharing", 0x1, NULL },
        { COCO_SEV_ES, "es", 0x7, NULL },
        { COCO_SEV_ES, "0x1,es", 0x5, NULL },
        { COCO_SEV, "es", 0, "use --coco=sev-es" },
        { COCO_SEV, "keysharing,noks", 0x3, NULL },
        { COCO_SEV, "debug", 0x2, NULL },
        { COCO_SEV, "debug,nodbg", 0x3, NULL },
        { COCO_SEV, "0x10003", 0x10003, NULL },
        { COCO_SEV, "2,debug", 0x2, NULL },
        { COCO_SEV_ES, "5", 0x5, NULL },
        { COCO_SEV_ES, "0x5,noks", 0x7, NULL },
        { COCO_SEV_SNP, "nosmt", 0x20000, NULL },
        { COCO_SEV_SNP, "single-socket,rapl-dis", 0x930000, NULL },
        { COCO_SEV_SNP, "debug", 0xb0000, NULL },
        { COCO_SEV_SNP, "0xb0000,debug", 0xb0000, NULL },
        { COCO_SEV_SNP, "cxl-allow,mem-aes-256-xts,ciphertext-hiding,page-swap-disable,migrate-ma",
                        0x3670000, NULL },
        { COCO_SEV, "0x100000003", 0, "does not fit the 32 bits" },
        { COCO_SEV, "7", 0, "use --coco=sev-es" },
        { COCO_SEV_ES, "3", 0, "use --coco=sev" },
        { COCO_SEV_SNP, "7", 0, "bit 17 must be set" },
        { COCO_SEV, "2", 0, "add --coco-policy=debug" },
        { COCO_SEV_SNP, "0xb0000", 0, "add --coco-policy=debug" },
        { COCO_SEV, "smt", 0, "'smt' is neither a number nor one of" },
        { COCO_SEV_SNP, "nosend", 0, "'nosend' is neither a number nor one of" },
        { COCO_SEV_SNP, "", 0, "'' is neither a number nor one of" },
        { COCO_SEV_SNP, "-1", 0, "'-1' is neither a number nor one of" },
};

static void policies(_unused_ void **state) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char *words[] = { (char *) rows[i].words, NULL };
                const VmConfig c = { .coco = rows[i].mode, .coco_policy = rows[i].words ? words : NULL };
                _cleanup_free_ char *error = NULL;
                uint64_t policy = 0;
                int r = vm_config_policy(&c, &policy, &error);

                if (!rows[i].message) {
                        if (r < 0 || policy != rows[i].policy)
                                fail_msg("row %zu: %d, 0x%llx: %s", i, r, (unsigned long long) policy,
                                                error ?: "-");
                        continue;
                }
                assert_error(r, EINVAL);
                assert_non_null(error);
                if (!strstr(error, rows[i].message) || !startswith(error, "--coco-policy: "))
                        fail_msg("row %zu: %s", i, error);
        }
}

/* Words in several options are taken in their order, as one list. */
static void options_add_up(_unused_ void **state) {
        char *words[] = { (char *) "nosend", (char *) "0x1", (char *) "noks,domain", NULL };
        const VmConfig c = { .coco = COCO_SEV, .coco_policy = words };
        uint64_t policy;

        assert_ok(vm_config_policy(&c, &policy, NULL));
        assert_int_equal(policy, 0x13);
}

static void plain_guests_have_none(_unused_ void **state) {
        const VmConfig c = { .coco = COCO_NONE };
        uint64_t policy = 99;

        assert_ok(vm_config_policy(&c, &policy, NULL));
        assert_int_equal(policy, 0);
}

static void root_words(_unused_ void **state) {
        static const struct {
                const char *word;
                CmdlineRoot expected;
        } cases[] = {
                { "root=/dev/vda", CMDLINE_ROOT_UNTRUSTED },
                { "quiet root=/dev/vda", CMDLINE_ROOT_UNTRUSTED },
                { "mount.usr=/dev/vda1", CMDLINE_ROOT_UNTRUSTED },
                { "quiet mount.usr=PARTUUID=1", CMDLINE_ROOT_UNTRUSTED },
                { "quiet \t root=/dev/vda", CMDLINE_ROOT_UNTRUSTED },
                { "\"root=/dev/vda\"", CMDLINE_ROOT_UNTRUSTED },
                { "root=/dev/mapper/root", CMDLINE_ROOT_UNTRUSTED },
                { "roothash=00 mount.usr=/dev/vda1", CMDLINE_ROOT_UNTRUSTED },
                { "root=/dev/mapper/rootx roothash=00", CMDLINE_ROOT_UNTRUSTED },
                { "root=/dev/vda usrhash=00", CMDLINE_ROOT_UNTRUSTED },
                { "roothash=00", CMDLINE_ROOT_VERITY },
                { "usrhash=00 quiet", CMDLINE_ROOT_VERITY },
                { "usrhash=00 root=tmpfs", CMDLINE_ROOT_VERITY },
                { "roothash=00 root=/dev/mapper/root ro", CMDLINE_ROOT_VERITY },
                { "rootflags=ro", CMDLINE_ROOT_NONE },
                { "xroot=/dev/vda", CMDLINE_ROOT_NONE },
                { "init=/x/root=", CMDLINE_ROOT_NONE },
                { "quiet", CMDLINE_ROOT_NONE },
                { "", CMDLINE_ROOT_NONE },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *words[] = { (char *) "console=ttyS0", (char *) cases[i].word, NULL };

                if (cmdline_root(words) != cases[i].expected)
                        fail_msg("'%s'", cases[i].word);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(policies),
                cmocka_unit_test(options_add_up),
                cmocka_unit_test(plain_guests_have_none),
                cmocka_unit_test(root_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
