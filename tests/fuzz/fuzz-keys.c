/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keys as people keep them: private and public, PEM and DER, points in hexadecimal. What was read has a point, and the point is read again to the
 * same key. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto-ec.h"
#include "snp-packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int r, EcKey **key, char **error) {
        _cleanup_ec_key_ EcKey *again = NULL;
        EcPoint p;

        if (r < 0) {
                assert(!*key && (*error || r == -ENOMEM));
                return;
        }
        assert(ec_key_point(*key, &p) >= 0);
        assert(ec_key_from_point(&p, &again) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size), *again = NULL;
        _cleanup_free_ char *error = NULL, *error2 = NULL, *error3 = NULL;
        _cleanup_ec_key_ EcKey *key = NULL, *open = NULL, *public_key = NULL, *signer = NULL;

        assert(text);
        check(ec_key_load(data, size, &key, &error), &key, &error);
        /* without a passphrase: how long deriving a key takes is written in the file */
        check(ec_key_load_encrypted(data, size, NULL, &open, &error2), &open, &error2);
        assert(!key || open);
        check(ec_key_load_public(data, size, &public_key, &error3), &public_key, &error3);
        if (snp_packet_signer_parse(text, &signer) >= 0) {
                assert(snp_packet_signer_text(signer, &again) >= 0);
                assert(strcasecmp(again, text) == 0);
        }
        return 0;
}
