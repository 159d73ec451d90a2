/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "attestd-service.h"
#include "strutil.h"

#define TOKEN_MAX 256u

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
        { "GET", "/refusals", 0, true, handle_refusals },
        { "GET", "/certificates", 0, true, handle_certificates },
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

#define ID_NOT_ALLOWED 2

/* Whether the path has this shape. No escapes are decoded: an id has none. 1, 0, ID_NOT_ALLOWED or -ENOMEM. */
static int path_match(const char *pattern, const char *path, PathIds *ret) {
        _cleanup_(path_ids_done) PathIds ids = {};
        bool allowed = true;

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
                allowed = registration_id_valid(ids.items[ids.n++]) && allowed;
                path = end;
                pattern++;
        }
        if (*path)
                return 0;
        if (!allowed)
                return ID_NOT_ALLOWED;
        *ret = TAKE_STRUCT(ids, (PathIds) {});
        return 1;
}

/* 1 found; 0 not, and *ret_allow is the first method that this path has, if any; ID_NOT_ALLOWED: it would be found with another id. */
static int find_route(const char *method, const char *path, const ServiceRoute **ret, PathIds *ret_ids,
                const char **ret_allow) {
        int found = 0;

        FOREACH_ARRAY(route, routes, ELEMENTSOF(routes)) {
                _cleanup_(path_ids_done) PathIds ids = {};
                int r = path_match(route->path, path, &ids);

                if (r < 0)
                        return r;
                if (r == ID_NOT_ALLOWED)
                        found = r;
                if (r != 1)
                        continue;
                if (streq(route->method, method)) {
                        *ret = route;
                        *ret_ids = TAKE_STRUCT(ids, (PathIds) {});
                        return 1;
                }
                if (!*ret_allow)
                        *ret_allow = route->method;
        }
        return *ret_allow ? 0 : found;
}

int service_body_max(const char *method, const char *path, size_t *ret) {
        _cleanup_(path_ids_done) PathIds ids = {};
        const char *allow = NULL;
        const ServiceRoute *route;
        int r = find_route(method, path, &route, &ids, &allow);

        if (r < 0)
                return r;
        *ret = r == 1 ? route->max_body : 0;
        return 0;
}

bool service_has_route(const char *method, const char *path) {
        _cleanup_(path_ids_done) PathIds ids = {};
        const char *allow = NULL;
        const ServiceRoute *route;

        return find_route(method, path, &route, &ids, &allow) == 1;
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
        /* A certificate is sent by the browser itself, also to what another site asks for in its owner's name. */
        if (q->certificate && !q->cross_site) {
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
        return reply_problem(reply, 401, "unauthorized", "Unauthorized",
                        "only a guest owner may do this: send \"Authorization: Bearer TOKEN\" with a valid token, or use an owner's TLS client certificate");
}

int service_takes_upload(const Service *s, const Request *request) {
        _cleanup_(path_ids_done) PathIds ids = {};
        _cleanup_(reply_done) Reply reply = {};
        Request q = *request;
        const char *allow = NULL;
        const ServiceRoute *route;
        int r = find_route(q.method, q.path, &route, &ids, &allow);

        return r == 1 && route->upload ? authorize(s, &q, &reply) : MIN(r, 0);
}

static int handle(const Service *s, Request *q, size_t *ret_route, Reply *reply) {
        _cleanup_(path_ids_done) PathIds ids = {};
        const char *allow = NULL;
        const ServiceRoute *route;
        int r = find_route(q->method, q->path, &route, &ids, &allow);

        if (r < 0)
                return r;
        if (r == 0 && allow) {
                reply->allow = allow;
                return reply_problem(reply, 405, "method-not-allowed", "Method not allowed",
                                "this path does not support the method; the Allow header names one that it does");
        }
        if (r == ID_NOT_ALLOWED)
                return reply_problem(reply, 404, "not-found", "Not found",
                                "the id is not allowed: use 1 to %u letters, digits, '.', '_' and '-', not beginning with '.'",
                                REGISTRATION_ID_MAX);
        if (r == 0)
                return reply_problem(reply, 404, "not-found", "Not found",
                                "unknown path; hosts use /vm/ID/launch and /vm/ID/validate, GET / describes the service");
        *ret_route = (size_t) (route - routes);
        if (q->body_size > route->max_body)
                return reply_problem(reply, 413, "too-large", "Body too large",
                                "the body of this request may be at most %zu bytes", route->max_body);
        if (route->for_owner) {
                r = authorize(s, q, reply);
                if (r <= 0)
                        return r;
        }
        /* Paths that anybody may use do not name a registration. */
        if (s->hosts_certified && !route->for_owner && !q->is_host && strchr(route->path, '*'))
                return reply_problem(reply, 403, "host-certificate-needed", "Client certificate required",
                                "hosts must use a TLS client certificate that this service's operator issued");
        q->id = ids.items[0];
        q->launch = ids.items[1];
        r = route->handler(s, q, reply);
        q->id = q->launch = NULL;
        return r;
}

/* The database is full, busy, read-only, has another key, or cannot be reached: for the time being. */
static bool is_away(int error) {
        return error == -ENOSPC || error == -EAGAIN || error == -EROFS || error == -EKEYEXPIRED;
}

void service_failed(int error, Reply *ret) {
        Reply reply = {};

        /* Without memory there is a status without a body. */
        if (error == -EINPROGRESS)
                (void) (reply_problem(&reply, 503, "unavailable", "Service unavailable",
                                        "the database went away before it confirmed the change: try again later; what was done is not done twice") <
                                0);
        else if (is_away(error))
                (void) (reply_problem(&reply, 503, "unavailable", "Service unavailable",
                                        "the service cannot write its database at the moment; "
                                        "nothing was changed, try again later") < 0);
        else
                (void) (reply_problem(&reply, 500, "internal", "Internal error",
                                        "nothing was changed; see the service's log") < 0);
        reply.status = error == -EINPROGRESS || is_away(error) ? 503 : 500;
        reply.error = error;
        *ret = reply;
}

static void count(const Service *s, size_t route, uint64_t begin, const Reply *reply) {
        Metrics *m = s->metrics;

        if (m)
                metrics_count(m,
                                &(MetricsAnswer) { .route = route,
                                                .status = reply->status,
                                                .code = js_string_value(js_get(reply->body, "code")),
                                                .usec = m->usec(m->userdata) - begin });
}

void service_handle(const Service *s, Request *q, Reply *ret) {
        uint64_t begin = s->metrics ? s->metrics->usec(s->metrics->userdata) : 0;
        size_t route = ELEMENTSOF(routes);
        Reply reply = {};
        int r;

        static_assert(ELEMENTSOF(routes) <= METRICS_ROUTES_MAX, "each has its counters");
        r = handle(s, q, &route, &reply);

        if ((r == -EKEYEXPIRED || r == -EKEYREJECTED) && s->rekey && s->rekey(s->rekey_data) > 0) {
                reply_done(&reply);
                reply = (Reply) {};
                r = handle(s, q, &route, &reply);
        }
        if (r < 0) {
                reply_done(&reply);
                service_failed(r, &reply);
        }
        count(s, route, begin, &reply);
        *ret = reply;
}
