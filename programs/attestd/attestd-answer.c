/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn-attestd --answer: for hosts and owners that cannot reach each other but can exchange files. The same requests and
 * answers as over HTTPS, from the same state; a user who may read the state acts as its owner. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attestd.h"
#include "crypto-random.h"
#include "error.h"
#include "fd.h"
#include "log.h"
#include "strutil.h"

#define OWNER_DEFAULT  "local"
#define STATUS_REFUSED 3

/* A hash that belongs to no token: this owner exists on this machine only. */
static int find_owner(const AttestdWorld *w, const char *name, int64_t *ret, char **reterr) {
        uint8_t hash[STORE_TOKEN_HASH_SIZE];
        int r = w->store->ops->owner_named(w->store, name ?: OWNER_DEFAULT, ret);

        if (r == -ENOENT && name)
                return error_set(reterr, r, "unknown owner '%s'; add it with --add-owner=", name);
        if (r != -ENOENT)
                return r;
        r = crypto_random(NULL, hash, sizeof(hash));
        if (r >= 0)
                r = w->store->ops->owner_add(w->store, OWNER_DEFAULT, hash);
        /* Another one that started at the same time may have added it. */
        return r < 0 && r != -EEXIST ? r : w->store->ops->owner_named(w->store, OWNER_DEFAULT, ret);
}

static int print(const Reply *reply, const Request *q, int *ret_status) {
        _cleanup_free_ char *text = reply->body ? js_text(reply->body, JS_SHORT) : NULL;
        const char *code = js_string_value(js_get(reply->body, "code"));

        if (reply->body && !text)
                return -ENOMEM;
        if (reply->status >= 400) {
                log_error("%s %s: refused (%u %s): %s", q->method, q->path, reply->status, code ?: "",
                                js_string_value(js_get(reply->body, "detail")) ?: "");
                *ret_status = reply->error < 0 ? 1 : STATUS_REFUSED;
                return 0;
        }
        if (text)
                (void) printf("%s\n", text);
        return 0;
}

int attestd_answer(const AttestdArgs *a, const AttestdWorld *w, int *ret_status, char **reterr) {
        _cleanup_(reply_done) Reply reply = {};
        _cleanup_free_ char *method = strdup(a->answer);
        char *path = method ? strchr(method, ' ') : NULL, *body = NULL;
        Service s = w->service;
        Request q = {};
        size_t max;
        int r;

        if (!method)
                return -ENOMEM;
        if (!path || path[1] != '/')
                return error_set(reterr, -EINVAL,
                                "--answer: expected a method and a path, as in \"POST /vm/web-1\", not '%s'",
                                a->answer);
        *path++ = 0;
        q.method = method;
        q.path = path;
        r = service_body_max(method, path, &max);
        if (r >= 0)
                r = find_owner(w, a->as, &q.local, reterr);
        if (r >= 0 && max > 0)
                r = fd_read_all(STDIN_FILENO, max, &body, &q.body_size);
        if (r == -E2BIG)
                r = error_set(reterr, r, "standard input: the body of this request may be at most %zu bytes",
                                max);
        if (r < 0)
                return r;
        q.body = body;
        /* The caller can read the state: rate limits and client certificates do not apply. */
        s.rate = NULL;
        s.hosts_certified = false;
        service_handle(&s, &q, &reply);
        if (body)
                erase_memory(body, q.body_size);
        free(body);
        return print(&reply, &q, ret_status);
}
