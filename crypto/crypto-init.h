/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to this room: to be called before the first use of OpenSSL. No openssl.cnf is read (another provider must not
 * change a verdict) and nothing is run at exit. Calling it again is cheap. */

#include <openssl/crypto.h>

static inline void crypto_init(void) {
        (void) OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
}
