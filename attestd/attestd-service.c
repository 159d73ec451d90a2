/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-service.h"

#include "crypto-hash.h"

void service_call_done(ServiceCall *c) {
        store_vm_done(&c->vm);
        registration_done(&c->reg);
        js_unref(c->body);
}

int service_token_hash(const char *token, size_t n, uint8_t ret[static STORE_TOKEN_HASH_SIZE]) {
        return hash_digest(HASH_SHA256, token, n, ret);
}

int64_t service_now(const Service *s) {
        return s->now(s->now_data);
}
