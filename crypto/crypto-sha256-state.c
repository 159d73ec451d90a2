/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define OPENSSL_SUPPRESS_DEPRECATED /* EVP has no way to take a state out */

#include "crypto-sha256-state.h"

#include <errno.h>
#include <openssl/sha.h>
#include <string.h>

#include "bytes.h"

static_assert(SHA256_CBLOCK == SHA256_BLOCK, "FIPS 180-4");

static int import(const Sha256State *s, SHA256_CTX *c) {
        if (SHA256_Init(c) != 1)
                return -EIO;
        for (unsigned i = 0; i < 8; i++)
                c->h[i] = be32_read(s->words + 4 * i);
        c->Nl = (SHA_LONG) (s->size << 3);
        c->Nh = (SHA_LONG) (s->size >> 29);
        c->num = (unsigned) (s->size % SHA256_BLOCK);
        memcpy(c->data, s->tail, c->num);
        return 0;
}

static void export(const SHA256_CTX *c, uint64_t size, Sha256State *ret) {
        *ret = (Sha256State) { .size = size };
        for (unsigned i = 0; i < 8; i++)
                for (unsigned k = 0; k < 4; k++)
                        ret->words[4 * i + k] = (uint8_t) (c->h[i] >> (24 - 8 * k));
        memcpy(ret->tail, c->data, size % SHA256_BLOCK);
}

int sha256_state_init(Sha256State *s) {
        SHA256_CTX c;

        if (SHA256_Init(&c) != 1)
                return -EIO;
        export(&c, 0, s);
        return 0;
}

int sha256_state_update(Sha256State *s, const void *p, size_t n) {
        SHA256_CTX c;
        int r = import(s, &c);

        if (r < 0)
                return r;
        if (SHA256_Update(&c, p, n) != 1)
                return -EIO;
        export(&c, s->size + n, s);
        return 0;
}

int sha256_state_digest(const Sha256State *s, uint8_t ret[static SHA256_SIZE]) {
        SHA256_CTX c;
        int r = import(s, &c);

        if (r < 0)
                return r;
        return SHA256_Final(ret, &c) == 1 ? 0 : -EIO;
}
