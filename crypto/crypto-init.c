/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-init.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdbool.h>

#define ALWAYS (OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT)

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static bool ready; /* without it OpenSSL has no locks, and a call can crash */

/* Verifying a signature blinds with a random number, for which the default generator, AES in counter mode, makes OpenSSL set up its table of
 * ciphers: a seventh of the instructions of a process that verifies one report. A generator from SHA-512 (NIST SP 800-90A,
 * Hash_DRBG, 256 bits of strength as well) needs the digests only, which are there. */
static void choose_generator(void) {
        (void) RAND_set_DRBG_type(NULL, "HASH-DRBG", NULL, NULL, "SHA512");
        ERR_clear_error(); /* of a generator that runs already */
}

static void init_with(uint64_t options) {
        /* The first does not report that the default library context could not be made, the second does. */
        ready = OPENSSL_init_crypto(options, NULL) == 1 && OSSL_LIB_CTX_get0_global_default() != NULL;
        if (ready)
                choose_generator();
}

static void init(void) {
        init_with(ALWAYS);
}

static void init_terse(void) {
        init_with(ALWAYS | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS);
}

int crypto_init(void) {
        return CRYPTO_THREAD_run_once(&once, init) == 1 && ready ? 0 : -ENOMEM;
}

int crypto_init_terse(void) {
        return CRYPTO_THREAD_run_once(&once, init_terse) == 1 && ready ? 0 : -ENOMEM;
}

/* Reasons that many parts share (out of memory, internal error, a failure further down) say nothing about the data. */
static bool is_about_data(unsigned long e) {
        int library = ERR_GET_LIB(e);

        return (library == ERR_LIB_RSA || library == ERR_LIB_EC) &&
                        !((unsigned long) ERR_GET_REASON(e) & ERR_RFLAG_COMMON);
}

int crypto_failure(int verdict) {
        unsigned long first = ERR_peek_error();

        ERR_clear_error();
        return first != 0 && is_about_data(first) ? verdict : -ENOMEM;
}

int crypto_rejected(int verdict) {
        if (ERR_peek_error() == 0)
                return verdict;
        return crypto_failure(verdict);
}
