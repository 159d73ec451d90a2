/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "test.h"

#include "crypto-random.h"
#include "id-block.h"

static EcKey *id_key, *author_key;

static SnpIdBlock some_block(void) {
        SnpIdBlock b = { .guest_svn = 7, .policy = 0x30000 };

        memset(b.digest, 0x5a, sizeof(b.digest));
        memset(b.family_id, 1, sizeof(b.family_id));
        memset(b.image_id, 2, sizeof(b.image_id));
        return b;
}

static int verify(const IdBlockFiles *f, SnpIdBlock *ret_block, SnpIdAuth *ret_auth) {
        return id_block_verify(
                        f->block, sizeof(f->block), f->auth, sizeof(f->auth), ret_block, ret_auth, NULL);
}

static void what_is_built_verifies(_unused_ void **state) {
        for (unsigned author = 0; author < 2; author++) {
                SnpIdBlock b = some_block(), b2;
                uint8_t block[SNP_ID_BLOCK_SIZE], again[SNP_ID_AUTH_SIZE];
                IdBlockFiles f;
                SnpIdAuth a;

                assert_ok(id_block_build(&b, id_key, author ? author_key : NULL, &f, NULL));
                assert_ok(verify(&f, &b2, &a));
                /* Not the structures: what pads them is anything. */
                snp_id_block_encode(&b, block);
                assert_memory_equal(block, f.block, sizeof(block));
                snp_id_block_encode(&b2, block);
                assert_memory_equal(block, f.block, sizeof(block));
                assert_int_equal(a.has_author, author);
                snp_id_auth_encode(&a, again);
                assert_memory_equal(again, f.auth, sizeof(again));
        }
}

static void every_spoilt_byte_is_noticed(_unused_ void **state) {
        SnpIdBlock b = some_block(), b2;
        IdBlockFiles f;
        SnpIdAuth a;

        assert_ok(id_block_build(&b, id_key, author_key, &f, NULL));
        for (size_t i = 0; i < sizeof(f.block); i++) {
                f.block[i] ^= 0x40;
                assert_true(verify(&f, &b2, &a) < 0);
                f.block[i] ^= 0x40;
        }
        for (size_t i = 0; i < sizeof(f.auth); i += 11) {
                f.auth[i] ^= 0x40;
                assert_true(verify(&f, &b2, &a) < 0);
                f.auth[i] ^= 0x40;
        }
        assert_ok(verify(&f, &b2, &a));
}

/* Signatures until r, and until s, is shorter than 48 bytes: a conversion that drops leading zeros fails here. */
static void short_numbers_keep_their_place(_unused_ void **state) {
        uint8_t block[SNP_ID_BLOCK_SIZE];
        bool short_r = false, short_s = false;
        SnpIdBlock b = some_block();

        snp_id_block_encode(&b, block);
        for (unsigned i = 0; i < 8192 && !(short_r && short_s); i++) {
                EcSignature sig;
                SnpIdBlock b2;
                IdBlockFiles f;
                SnpIdAuth a;

                assert_ok(ec_key_sign(id_key, HASH_SHA384, block, sizeof(block), &sig));
                if (sig.r[0] != 0 && sig.s[0] != 0)
                        continue;
                short_r = short_r || sig.r[0] == 0;
                short_s = short_s || sig.s[0] == 0;
                assert_ok(id_block_assemble(&b, id_key, &sig, NULL, NULL, &f, NULL));
                assert_ok(verify(&f, &b2, &a));
                assert_int_equal(sig.r[0] == 0 ? f.auth[0x40 + 47] : 0, 0);
                assert_int_equal(sig.s[0] == 0 ? f.auth[0x40 + 72 + 47] : 0, 0);
        }
        assert_true(short_r && short_s);
}

static void signatures_from_elsewhere(_unused_ void **state) {
        static const uint8_t der[] = { 0x30, 0x08, 0x02, 0x02, 0x00, 0x80, 0x02, 0x02, 0x12, 0x34 };
        static const uint8_t negative[] = { 0x30, 0x06, 0x02, 0x01, 0x80, 0x02, 0x01, 0x01 };
        uint8_t raw[96] = { [47] = 9, [95] = 8 };
        SnpIdBlock b = some_block();
        EcSignature sig;
        IdBlockFiles f;

        assert_ok(id_signature_read(der, sizeof(der), &sig, NULL));
        assert_int_equal(sig.r[47], 0x80);
        assert_int_equal(sig.r[46], 0);
        assert_int_equal(sig.s[46], 0x12);
        assert_ok(id_signature_read(raw, sizeof(raw), &sig, NULL));
        assert_int_equal(sig.s[47], 8);
        assert_error(id_signature_read(negative, sizeof(negative), &sig, NULL), EBADMSG);
        assert_error(id_signature_read(der, sizeof(der) - 1, &sig, NULL), EBADMSG);
        /* A signature by another key does not assemble. */
        assert_ok(ec_key_sign(author_key, HASH_SHA384, "x", 1, &sig));
        assert_error(id_block_assemble(&b, id_key, &sig, NULL, NULL, &f, NULL), EKEYREJECTED);
}

static int make_keys(_unused_ void **state) {
        return ec_key_generate(crypto_random, NULL, &id_key) < 0 ||
                        ec_key_generate(crypto_random, NULL, &author_key) < 0;
}

static int drop_keys(_unused_ void **state) {
        ec_key_free(id_key);
        ec_key_free(author_key);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_built_verifies),
                cmocka_unit_test(every_spoilt_byte_is_noticed),
                cmocka_unit_test(short_numbers_keep_their_place),
                cmocka_unit_test(signatures_from_elsewhere),
        };

        return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
