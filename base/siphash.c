/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "siphash.h"

typedef struct State {
        uint64_t v0, v1, v2, v3;
} State;

static uint64_t rotate(uint64_t x, unsigned n) {
        return x << n | x >> (64 - n);
}

static void rounds(State *s, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                s->v0 += s->v1;
                s->v2 += s->v3;
                s->v1 = rotate(s->v1, 13) ^ s->v0;
                s->v3 = rotate(s->v3, 16) ^ s->v2;
                s->v0 = rotate(s->v0, 32);
                s->v2 += s->v1;
                s->v0 += s->v3;
                s->v1 = rotate(s->v1, 17) ^ s->v2;
                s->v3 = rotate(s->v3, 21) ^ s->v0;
                s->v2 = rotate(s->v2, 32);
        }
}

static void compress(State *s, uint64_t word) {
        s->v3 ^= word;
        rounds(s, 2);
        s->v0 ^= word;
}

/* Up to 8 bytes, little-endian. */
static uint64_t word_at(const uint8_t *p, size_t n) {
        uint64_t w = 0;

        for (size_t i = 0; i < n; i++)
                w |= (uint64_t) p[i] << (8 * i);
        return w;
}

uint64_t siphash24(const void *data, size_t size, const uint8_t key[16]) {
        const uint64_t k0 = word_at(key, 8), k1 = word_at(key + 8, 8);
        const uint8_t *p = data;
        State s = {
                .v0 = k0 ^ UINT64_C(0x736f6d6570736575),
                .v1 = k1 ^ UINT64_C(0x646f72616e646f6d),
                .v2 = k0 ^ UINT64_C(0x6c7967656e657261),
                .v3 = k1 ^ UINT64_C(0x7465646279746573),
        };
        size_t whole = size - size % 8;

        for (size_t i = 0; i < whole; i += 8)
                compress(&s, word_at(p + i, 8));
        compress(&s, word_at(p + whole, size % 8) | (uint64_t) (size & 0xff) << 56);
        s.v2 ^= 0xff;
        rounds(&s, 4);
        return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
