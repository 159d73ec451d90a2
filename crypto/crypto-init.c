/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-init.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#define ALWAYS (OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT)

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;

/* Verifying a signature blinds with a random number, for which the default generator, AES in counter mode, makes OpenSSL set up its table of
 * ciphers: a seventh of the instructions of a process that verifies one report. A generator from SHA-512 (NIST SP 800-90A,
 * Hash_DRBG, 256 bits of strength as well) needs the digests only, which are there. */
static void choose_generator(void) {
        (void) RAND_set_DRBG_type(NULL, "HASH-DRBG", NULL, NULL, "SHA512");
}

static void init(void) {
        (void) OPENSSL_init_crypto(ALWAYS, NULL);
        choose_generator();
}

static void init_terse(void) {
        (void) OPENSSL_init_crypto(ALWAYS | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS, NULL);
        choose_generator();
}

void crypto_init(void) {
        (void) CRYPTO_THREAD_run_once(&once, init);
}

void crypto_init_terse(void) {
        (void) CRYPTO_THREAD_run_once(&once, init_terse);
}
