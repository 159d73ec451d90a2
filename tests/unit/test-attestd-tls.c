/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the service's TLS offers: authenticated encryption with forward secrecy, and nothing older. */

#include <gnutls/gnutls.h>

#include "test.h"

#include "attestd-tls.h"

static void suites(_unused_ void **state) {
        gnutls_priority_t p;
        unsigned index, n = 0;
        const unsigned *macs;
        int n_macs;

        assert_int_equal(gnutls_priority_init(&p, tls_priorities(), NULL), GNUTLS_E_SUCCESS);
        for (unsigned i = 0;; i++) {
                int r = gnutls_priority_get_cipher_suite_index(p, i, &index);
                gnutls_cipher_algorithm_t cipher;
                gnutls_mac_algorithm_t mac;
                gnutls_protocol_t min;
                const char *name;

                if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                        break;
                if (r == GNUTLS_E_UNKNOWN_CIPHER_SUITE)
                        continue;
                assert_int_equal(r, GNUTLS_E_SUCCESS);
                name = gnutls_cipher_suite_info(index, NULL, NULL, &cipher, &mac, &min);
                assert_non_null(name);
                assert_int_equal(mac, GNUTLS_MAC_AEAD);
                assert_null(strstr(name, "CBC"));
                assert_true(min >= GNUTLS_TLS1_2);
                n++;
        }
        assert_true(n >= 6);
        n_macs = gnutls_priority_mac_list(p, &macs);
        assert_int_equal(n_macs, 1);
        gnutls_priority_deinit(p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(suites),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
