/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "attestd-service.h"
#include "crypto-hash.h"
#include "strutil.h"

#define PATH_MAX_LENGTH 256u
#define TOKEN_MAX       256u

static const ServiceRoute routes[] = {
        { "GET", "/", 0, false, handle_capabilities },
        { "GET", "/health", 0, false, handle_health },
        { "GET", "/vm", 0, true, handle_list },
        { "POST", "/vm/*", BODY_SIZE_MAX, true, handle_register },
        { "GET", "/vm/*", 0, true, handle_show },
        { "PUT", "/vm/*", BODY_SIZE_MAX, true, handle_update },
        { "DELETE", "/vm/*", 0, true, handle_delete },
        { "GET", "/vm/*/events", 0, true, handle_events },
        { "GET", "/vm/*/launches", 0, true, handle_launches },
        { "POST", "/vm/*/launches/*/confirm", BODY_SIZE_MAX, true, handle_confirm },
        { "DELETE", "/vm/*/launches/*", 0, true, handle_reject },
        { "POST", "/firmware", FIRMWARE_BODY_MAX, true, handle_firmware_add, true },
        { "GET", "/firmware", 0, true, handle_firmware_list },
        { "DELETE", "/firmware/*", 0, true, handle_firmware_delete },
        { "POST", "/vm/*/launch", BODY_SIZE_MAX, false, handle_launch },
        { "POST", "/vm/*/validate", BODY_SIZE_MAX, false, handle_validate },
};

const ServiceRoute *service_routes(size_t *ret_n) {
        *ret_n = ELEMENTSOF(routes);
        return routes;
}

/* What the stars of a pattern stand for. */
typedef struct PathIds {
        char *items[2]; /* owned: registration, launch */
        size_t n;
} PathIds;

static void path_ids_done(PathIds *p) {
        FOREACH_ARRAY(item, p->items, ELEMENTSOF(p->items))
                free(*item);
        *p = (PathIds) {};
}

/* Whether the path has this shape. No escapes are decoded: an id has none. 1, 0 or -ENOMEM. */
static int path_match(const char *pattern, const char *path, PathIds *ret) {
        _cleanup_(path_ids_done) PathIds ids = {};

        if (strlen(path) > PATH_MAX_LENGTH)
                return 0;
        while (*pattern) {
                const char *end = strchrnul(path, '/');

                if (*pattern != '*') {
                        if (*pattern++ != *path++)
                                return 0;
                        continue;
                }
                assert(ids.n < ELEMENTSOF(ids.items));
                ids.items[ids.n] = strndup(path, (size_t) (end - path));
                if (!ids.items[ids.n])
                        return -ENOMEM;
                if (!registration_id_valid(ids.items[ids.n++]))
                        return 0;
                path = end;
                pattern++;
        }
        if (*path)
                return 0;
        *ret = TAKE_STRUCT(ids, (PathIds) {});
        return 1;
}

/* 1 found; 0 not, and *ret_allow is the first method that this path has, if any. */
static int find_route(const char *method, const char *path, const ServiceRoute **ret, PathIds *ret_ids,
                const char **ret_allow) {
        FOREACH_ARRAY(route, routes, ELEMENTSOF(routes)) {
                _cleanup_(path_ids_done) PathIds ids = {};
                int r = path_match(route->path, path, &ids);

                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                if (streq(route->method, method)) {
                        *ret = route;
                        *ret_ids = TAKE_STRUCT(ids, (PathIds) {});
                        return 1;
                }
                if (!*ret_allow)
                        *ret_allow = route->method;
        }
        return 0;
}

size_t service_body_max(const char *method, const char *path) {
        _cleanup_(path_ids_done) PathIds ids = {};
        const char *allow = NULL;
        const ServiceRoute *route;

        return find_route(method, path, &route, &ids, &allow) > 0 ? route->max_body : 0;
}

int service_token_hash(const char *token, size_t n, uint8_t ret[static STORE_TOKEN_HASH_SIZE]) {
        return hash_digest(HASH_SHA256, token, n, ret);
}

int64_t service_now(const Service *s) {
        return s->now(s->now_data);
}

/* Tokens are long random numbers, so their plain hash can be looked up: how long that takes tells nothing about them. A certificate's
 * hash stands in the same place: no token is as long as a certificate. */
static int authorize(const Service *s, Request *q, Reply *reply) {
        uint8_t hash[STORE_TOKEN_HASH_SIZE];
        const char *token = q->authorization && strncasecmp(q->authorization, "Bearer ", 7) == 0
                        ? q->authorization + 7
                        : NULL;
        int r;

        if (q->local > 0) {
                q->owner = q->local;
                return 1;
        }
        if (q->certificate) {
                r = s->store->ops->owner_find(s->store, q->certificate, &q->owner);
                if (r != -ENOENT)
                        return r < 0 ? r : 1;
        }
        if (token && strlen(token) <= TOKEN_MAX) {
                r = service_token_hash(token, strlen(token), hash);
                if (r >= 0)
                        r = s->store->ops->owner_find(s->store, hash, &q->owner);
                if (r != -ENOENT)
                        return r < 0 ? r : 1;
        }
        return reply_problem(reply, 401, "unauthorized", "An owner's token is needed",
                        "this request is for guest owners: send \"Authorization: Bearer TOKEN\" with a "
                        "valid token, or "
                        "show an owner's certificate");
}

int service_takes_upload(const Service *s, const Request *request) {
        _cleanup_(path_ids_done) PathIds ids = {};
        _cleanup_(reply_done) Reply reply = {};
        Request q = *request;
        const char *allow = NULL;
        const ServiceRoute *route;
        int r = find_route(q.method, q.path, &route, &ids, &allow);

        return r > 0 && route->upload ? authorize(s, &q, &reply) : r < 0 ? r : 0;
}

static int handle(const Service *s, Request *q, Reply *reply) {
        _cleanup_(path_ids_done) PathIds ids = {};
        const char *allow = NULL;
        const ServiceRoute *route;
        int r = find_route(q->method, q->path, &route, &ids, &allow);

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
        /* What everybody may ask names no registration. */
        if (s->hosts_certified && !route->for_owner && !q->is_host && strchr(route->path, '*'))
                return reply_problem(reply, 403, "host-certificate-needed", "A certificate is needed",
                                "this service answers hosts that show a certificate of its operator's "
                                "authority");
        q->id = ids.items[0];
        q->launch = ids.items[1];
        r = route->handler(s, q, reply);
        q->id = q->launch = NULL;
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
