/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "attestd-service.h"
#include "crypto-hash.h"
#include "strutil.h"

#define PATH_MAX_LENGTH 256u
#define TOKEN_MAX       256u

typedef struct Route {
        const char *method, *path; /* "*" stands for one registration's id */
        size_t max_body;
        bool for_owner;
        ServiceHandler handler;
} Route;

static const Route routes[] = {
        { "GET", "/", 0, false, handle_capabilities },
        { "GET", "/health", 0, false, handle_health },
        { "GET", "/vm", 0, true, handle_list },
        { "POST", "/vm/*", BODY_SIZE_MAX, true, handle_register },
        { "GET", "/vm/*", 0, true, handle_show },
        { "DELETE", "/vm/*", 0, true, handle_delete },
        { "GET", "/vm/*/events", 0, true, handle_events },
        { "POST", "/vm/*/launch", BODY_SIZE_MAX, false, handle_launch },
        { "POST", "/vm/*/validate", BODY_SIZE_MAX, false, handle_validate },
};

/* Whether the path has this shape; then *ret_id is the id in it (owned, NULL without one). No escapes are decoded: an id has
 * none. 1, 0 or -ENOMEM. */
static int path_match(const char *pattern, const char *path, char **ret_id) {
        const char *star = strchr(pattern, '*'), *end;
        char *id;

        if (strlen(path) > PATH_MAX_LENGTH)
                return 0;
        if (!star)
                return streq(pattern, path);
        if (strncmp(pattern, path, (size_t) (star - pattern)) != 0)
                return 0;
        path += star - pattern;
        end = strchrnul(path, '/');
        if (!streq(star + 1, end))
                return 0;
        id = strndup(path, (size_t) (end - path));
        if (!id)
                return -ENOMEM;
        if (!registration_id_valid(id)) {
                free(id);
                return 0;
        }
        *ret_id = id;
        return 1;
}

/* 1 found; 0 not, and *ret_allow is the first method that this path has, if any. */
static int find_route(const char *method, const char *path, const Route **ret, char **ret_id,
                const char **ret_allow) {
        FOREACH_ARRAY(route, routes, ELEMENTSOF(routes)) {
                _cleanup_free_ char *id = NULL;
                int r = path_match(route->path, path, &id);

                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                if (streq(route->method, method)) {
                        *ret = route;
                        *ret_id = TAKE_PTR(id);
                        return 1;
                }
                if (!*ret_allow)
                        *ret_allow = route->method;
        }
        return 0;
}

size_t service_body_max(const char *method, const char *path) {
        _cleanup_free_ char *id = NULL;
        const char *allow = NULL;
        const Route *route;

        return find_route(method, path, &route, &id, &allow) > 0 ? route->max_body : 0;
}

int service_token_hash(const char *token, size_t n, uint8_t ret[static STORE_TOKEN_HASH_SIZE]) {
        return hash_digest(HASH_SHA256, token, n, ret);
}

int64_t service_now(const Service *s) {
        return s->now(s->now_data);
}

/* Tokens are long random numbers, so their plain hash can be looked up: how long that takes tells nothing about them. */
static int authorize(const Service *s, Request *q, Reply *reply) {
        uint8_t hash[STORE_TOKEN_HASH_SIZE];
        const char *token = q->authorization && strncasecmp(q->authorization, "Bearer ", 7) == 0
                        ? q->authorization + 7
                        : NULL;
        int r;

        if (token && strlen(token) <= TOKEN_MAX) {
                r = service_token_hash(token, strlen(token), hash);
                if (r >= 0)
                        r = s->store->ops->owner_find(s->store, hash, &q->owner);
                if (r != -ENOENT)
                        return r < 0 ? r : 1;
        }
        return reply_problem(reply, 401, "unauthorized", "An owner's token is needed",
                        "this request is for guest owners: send \"Authorization: Bearer TOKEN\" with a "
                        "valid token");
}

static int handle(const Service *s, Request *q, Reply *reply) {
        _cleanup_free_ char *id = NULL;
        const char *allow = NULL;
        const Route *route;
        int r = find_route(q->method, q->path, &route, &id, &allow);

        if (r < 0)
                return r;
        if (r == 0 && allow) {
                reply->allow = allow;
                return reply_problem(reply, 405, "method-not-allowed", "Not with this method",
                                "this path does not take this method");
        }
        if (r == 0)
                return reply_problem(reply, 404, "not-found", "There is nothing at this path",
                                "paths are /vm/ID, /vm/ID/launch and /vm/ID/validate; GET / describes this "
                                "service");
        if (q->body_size > route->max_body)
                return reply_problem(reply, 413, "too-large", "The body is too large",
                                "this request may have %zu bytes of body", route->max_body);
        if (route->for_owner) {
                r = authorize(s, q, reply);
                if (r <= 0)
                        return r;
        }
        q->id = id;
        r = route->handler(s, q, reply);
        q->id = NULL;
        return r;
}

void service_handle(const Service *s, Request *q, Reply *ret) {
        Reply reply = {};
        int r = handle(s, q, &reply);

        if (r < 0) {
                reply_done(&reply);
                /* Without memory there is a status without a body. */
                if (r == -ENOSPC || r == -EAGAIN)
                        (void) (reply_problem(&reply, 503, "unavailable", "Not now",
                                                "the service cannot store anything at the moment") < 0);
                else
                        (void) (reply_problem(&reply, 500, "internal", "The service failed",
                                                "nothing was changed; the service's log says more") < 0);
                reply.status = r == -ENOSPC || r == -EAGAIN ? 503 : 500;
                reply.error = r;
        }
        *ret = reply;
}
