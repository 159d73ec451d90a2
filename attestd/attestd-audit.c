/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-audit.h"

#include <errno.h>
#include <search.h>
#include <string.h>

#include "bytes.h"
#include "crypto-hmac.h"
#include "strutil.h"

#define CONTEXT     "cvmspawn-audit-v1"
#define KEY_CONTEXT "cvmspawn-audit-key-v1"

static_assert(STORE_AUDIT_SIZE == HMAC_SHA256_SIZE, "a link is an HMAC");

int audit_key(const Vault *v, uint8_t ret[static STORE_AUDIT_SIZE]) {
        const struct iovec ranges[] = { HMAC_RANGE(KEY_CONTEXT, sizeof(KEY_CONTEXT)) };
        _cleanup_(secret_buf_done) SecretBuf scalar = {};
        int r = vault_signer_scalar(v, &scalar);

        return r < 0 ? r : crypto_hmac_sha256(scalar.data, scalar.size, ranges, ELEMENTSOF(ranges), ret);
}

static void put_number(uint8_t p[static 8], int64_t v) {
        for (unsigned i = 0; i < 8; i++)
                p[i] = (uint8_t) ((uint64_t) v >> (8 * i));
}

int audit_link(const uint8_t key[static STORE_AUDIT_SIZE], const AuditRow *row, const uint8_t *before,
                uint8_t ret[static STORE_AUDIT_SIZE]) {
        static const uint8_t nothing[STORE_AUDIT_SIZE];
        uint8_t position[8], when[8];
        const struct iovec ranges[] = {
                HMAC_RANGE(CONTEXT, sizeof(CONTEXT)),
                HMAC_RANGE(before ?: nothing, STORE_AUDIT_SIZE),
                HMAC_RANGE(position, sizeof(position)),
                HMAC_RANGE(when, sizeof(when)),
                HMAC_RANGE(row->vm, strlen(row->vm) + 1),
                HMAC_RANGE(row->launch, strlen(row->launch) + 1),
                HMAC_RANGE(row->what, strlen(row->what) + 1),
        };

        put_number(position, row->position);
        put_number(when, row->time);
        return crypto_hmac_sha256(key, STORE_AUDIT_SIZE, ranges, ELEMENTSOF(ranges), ret);
}

bool audit_is_cheap(const char *what) {
        return streq(what, "refused") || streq(what, "burned") || streq(what, "held");
}

/* The end of one registration's chain, as far as it was read. */
typedef struct Chain {
        int64_t position;
        uint8_t link[STORE_AUDIT_SIZE];
        char vm[];
} Chain;

typedef struct Walk {
        Store *store;
        void *chains; /* owned: a tree of Chain */
        AuditFunction f;
        void *userdata;
} Walk;

static int compare(const void *a, const void *b) {
        return strcmp(((const Chain *) a)->vm, ((const Chain *) b)->vm);
}

static Chain *chain_of(Walk *w, const char *vm) {
        Chain *c = calloc(1, sizeof(Chain) + strlen(vm) + 1);
        void *found;

        if (!c)
                return NULL;
        memcpy(c->vm, vm, strlen(vm) + 1);
        found = tsearch(c, &w->chains, compare);
        if (!found || *(Chain **) found != c)
                free(c);
        return found ? *(Chain **) found : NULL;
}

/* In the order of STORE_AUDIT's columns. */
static int visit(void *userdata, const StoreValue *v) {
        const AuditRow row = { .time = v[1].number,
                .vm = v[2].data ?: "",
                .position = v[3].number,
                .launch = v[4].data ?: "",
                .what = v[5].data ?: "" };
        uint8_t link[STORE_AUDIT_SIZE], stored[STORE_AUDIT_SIZE] = {};
        Walk *w = userdata;
        Chain *c = chain_of(w, row.vm);
        bool good;
        int r;

        if (!c)
                return -ENOMEM;
        if (v[6].data && v[6].size == sizeof(stored))
                memcpy(stored, v[6].data, sizeof(stored));
        r = audit_link(w->store->audit_key, &row, c->position > 0 ? c->link : NULL, link);
        if (r < 0)
                return r;
        good = row.position == c->position + 1 && memcmp(link, stored, sizeof(link)) == 0;
        /* What follows is judged by what is there: one damage is one row, or two. */
        c->position = row.position;
        memcpy(c->link, stored, sizeof(stored));
        return w->f(w->userdata, &row, stored, good);
}

int audit_verify(Store *s, AuditFunction f, void *userdata) {
        Walk w = { .store = s, .f = f, .userdata = userdata };
        int r = s->ops->rows(s, STORE_AUDIT, visit, &w);

        tdestroy(w.chains, free);
        return r;
}
