/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "httpd.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "httpd-peer.h"
#include "strutil.h"

#define CONNECTION_MEMORY (16u * 1024)
#define TURNS_MAX         16u /* while there is work, before signals are looked at */
#define SWEEP_USEC        1000000u

/* One request. In the list of its server while it waits. */
typedef struct Call {
        Httpd *httpd;
        struct MHD_Connection *connection;
        struct Call *next, **link;
        char *target; /* owned */
        char key[HTTPD_WAIT_KEY_MAX];
        uint64_t until; /* milliseconds; 0: has not waited yet */
        bool waits, begun;
} Call;

struct Httpd {
        HttpdSettings settings;
        struct MHD_Daemon *daemon;
        HttpdPeers peers;
        Call *first, **last; /* the longest waiting first */
        size_t n_waiting;
};

static uint64_t now_msec(void) {
        struct timespec t;

        return clock_gettime(CLOCK_MONOTONIC, &t) < 0
                        ? 0
                        : (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000;
}

static void call_link(Call *c) {
        Httpd *h = c->httpd;

        c->next = NULL;
        c->link = h->last;
        *h->last = c;
        h->last = &c->next;
        h->n_waiting++;
        c->waits = true;
        httpd_peer_waits(c->connection, true);
}

static void call_unlink(Call *c) {
        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        else
                c->httpd->last = c->link;
        c->httpd->n_waiting--;
        c->waits = false;
        httpd_peer_waits(c->connection, false);
}

static void call_resume(Call *c) {
        call_unlink(c);
        MHD_resume_connection(c->connection);
}

/* The request line, before anything else of the request. */
static void *on_target(void *userdata, const char *uri, struct MHD_Connection *connection) {
        Call *c = calloc(1, sizeof(Call));

        if (!c)
                return NULL;
        *c = (Call) { .httpd = userdata, .connection = connection, .target = strdup(uri) };
        return c;
}

static void on_completed(void *userdata, struct MHD_Connection *connection, void **context,
                _unused_ enum MHD_RequestTerminationCode code) {
        Call *c = *context;

        (void) userdata;
        httpd_peer_answered(connection);
        if (!c)
                return;
        if (c->waits)
                call_unlink(c);
        free(c->target);
        free(c);
        *context = NULL;
}

static bool add_headers(struct MHD_Response *m, const HttpdAnswer *a) {
        char retry[16], age[32] = "no-store";

        (void) snprintf(retry, sizeof(retry), "%u", a->retry_after);
        if (a->max_age > 0)
                (void) snprintf(age, sizeof(age), "max-age=%u", a->max_age);
        if (a->type && MHD_add_response_header(m, MHD_HTTP_HEADER_CONTENT_TYPE, a->type) != MHD_YES)
                return false;
        if (a->warning && MHD_add_response_header(m, MHD_HTTP_HEADER_WARNING, a->warning) != MHD_YES)
                return false;
        if (a->header_name && MHD_add_response_header(m, a->header_name, a->header_value) != MHD_YES)
                return false;
        if (a->status == MHD_HTTP_METHOD_NOT_ALLOWED &&
                        MHD_add_response_header(m, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") != MHD_YES)
                return false;
        return MHD_add_response_header(m, MHD_HTTP_HEADER_CACHE_CONTROL, age) == MHD_YES &&
                        (a->retry_after == 0 ||
                                        MHD_add_response_header(m, MHD_HTTP_HEADER_RETRY_AFTER, retry) ==
                                                        MHD_YES);
}

/* Takes the body and the header. */
static enum MHD_Result respond(struct MHD_Connection *connection, HttpdAnswer *a) {
        struct MHD_Response *m = MHD_create_response_from_buffer(a->size, a->body ?: (char *) "",
                        a->body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
        enum MHD_Result r = MHD_NO;

        if (!m)
                free(a->body);
        else {
                if (add_headers(m, a))
                        r = MHD_queue_response(connection, a->status, m);
                MHD_destroy_response(m);
        }
        free(a->header_value);
        return r;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *why) {
        HttpdAnswer a = { .status = status, .type = "text/plain", .body = strdup(why), .size = strlen(why) };

        return a.body ? respond(connection, &a) : MHD_NO;
}

static bool has_body(struct MHD_Connection *connection) {
        const char *length = MHD_lookup_connection_value(
                        connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

        return (length && !streq(length, "0")) ||
                        MHD_lookup_connection_value(
                                        connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);
}

static enum MHD_Result handle(Call *c) {
        const HttpdSettings *s = &c->httpd->settings;
        char peer[HTTPD_PEER_MAX];
        HttpdAnswer a = {};
        uint64_t now = now_msec();
        int r;

        httpd_peer_name(c->connection, peer);
        if (c->until == 0)
                c->until = now + s->wait_msec;
        r = s->handler(s->userdata, &(HttpdRequest) { c->target, peer, now >= c->until }, &a);
        if (r == HTTPD_WAIT && now < c->until) {
                memcpy(c->key, a.wait_key, sizeof(c->key));
                MHD_suspend_connection(c->connection);
                call_link(c);
                return MHD_YES;
        }
        if (r != 0) {
                free(a.body);
                free(a.header_value);
                return MHD_NO;
        }
        return respond(c->connection, &a);
}

static enum MHD_Result on_request(_unused_ void *userdata, struct MHD_Connection *connection,
                _unused_ const char *url, const char *method, _unused_ const char *version,
                _unused_ const char *data, size_t *size, void **context) {
        Call *c = *context;

        if (!c || !c->target)
                return MHD_NO;
        if (!streq(method, MHD_HTTP_METHOD_GET) && !streq(method, MHD_HTTP_METHOD_HEAD))
                return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n");
        if (has_body(connection))
                return refuse(connection, MHD_HTTP_BAD_REQUEST, "the request must not have a body\n");
        *size = 0;
        if (!c->begun) { /* the answer is given when the request is complete */
                c->begun = true;
                return MHD_YES;
        }
        return handle(c);
}

/* Escapes are not decoded: nothing that is served has any in its name. */
static size_t keep_escapes(_unused_ void *userdata, _unused_ struct MHD_Connection *connection, char *text) {
        return strlen(text);
}

Httpd *httpd_free(Httpd *h) {
        if (!h)
                return NULL;
        while (h->first) {
                h->first->until = 1;
                call_resume(h->first);
        }
        if (h->daemon)
                MHD_stop_daemon(h->daemon);
        free(h);
        return NULL;
}

int httpd_new(const HttpdSettings *settings, Httpd **ret) {
        Httpd *h = calloc(1, sizeof(Httpd));

        if (!h)
                return -ENOMEM;
        h->settings = *settings;
        h->last = &h->first;
        h->peers = (HttpdPeers) {
                .max = HTTPD_CONNECTIONS_MAX, .spare = HTTPD_SPARE, .request_seconds = HTTPD_REQUEST_SECONDS
        };
        httpd_peers_init(&h->peers);
        h->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                        on_request, h, MHD_OPTION_LISTEN_SOCKET, (MHD_socket) settings->listen_fd,
                        MHD_OPTION_CONNECTION_LIMIT, HTTPD_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                        HTTPD_IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY,
                        MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_NOTIFY_CONNECTION,
                        httpd_peer_on_connection, &h->peers, MHD_OPTION_URI_LOG_CALLBACK, on_target, h,
                        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                        MHD_OPTION_END);
        if (!h->daemon) {
                free(h);
                return -EIO;
        }
        *ret = h;
        return 0;
}

int httpd_fd(const Httpd *h) {
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);

        return info ? info->epoll_fd : -EBADF;
}

void httpd_wake(Httpd *h, const char *key) {
        for (Call *c = h->first, *next; c; c = next) {
                next = c->next;
                if (!key || streq(c->key, key))
                        call_resume(c);
        }
}

size_t httpd_waiting(const Httpd *h) {
        return h->n_waiting;
}

/* Resumes those that have waited enough; milliseconds until the next will have. */
static uint64_t end_waiting(Httpd *h) {
        uint64_t now = now_msec(), left = UINT64_MAX;

        for (Call *c = h->first, *next; c; c = next) {
                next = c->next;
                if (c->until <= now)
                        call_resume(c);
                else
                        left = MIN(left, c->until - now);
        }
        return left;
}

int httpd_run(Httpd *h, uint64_t *ret_usec) {
        MHD_UNSIGNED_LONG_LONG msec = 0;
        uint64_t left;

        httpd_peers_sweep(&h->peers);
        left = end_waiting(h);
        for (unsigned i = 0; i < TURNS_MAX; i++) {
                if (MHD_run(h->daemon) != MHD_YES)
                        return -EIO;
                if (MHD_get_timeout(h->daemon, &msec) != MHD_YES || msec > 0)
                        break;
        }
        *ret_usec = MHD_get_timeout(h->daemon, &msec) == MHD_YES
                        ? MIN((uint64_t) msec * 1000, (uint64_t) SWEEP_USEC)
                        : SWEEP_USEC;
        if (left < SWEEP_USEC / 1000)
                *ret_usec = MIN(*ret_usec, left * 1000);
        return 0;
}
