/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "attestd-tls.h"
#include "error.h"
#include "fd.h"
#include "secret.h"
#include "strutil.h"

#define CONNECTION_MEMORY (16u * 1024)        /* request line, headers, read buffer */
#define BODIES_MAX        (16u * 1024 * 1024) /* of all connections together */
#define UPLOADS_MAX       2u                  /* at a time: they lie in memory too, as files */
#define DROPPED_MAX       1024u               /* body that is read although the request takes none */
#define TLS_PRIORITIES    "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define TURNS_MAX         16u /* while there is work, before signals are looked at */
#define SWEEP_USEC        1000000u

typedef struct Peer Peer;

/* One connection; in a list, the longest without an answer first. */
struct Peer {
        Server *server;
        Peer *next, **link;
        int fd;
        time_t since; /* when it was answered last, or accepted */
        bool told;    /* was ended for its age */
        bool looked;  /* `tls` is filled */
        TlsPeer tls;
};

struct Server {
        const ServerSettings settings;
        struct MHD_Daemon *daemon;
        TlsAuthority *authority; /* owned, or NULL */
        Peer *peers, **last;
        size_t n_peers;
        time_t swept;
        size_t bodies; /* bytes held in all calls */
        size_t uploads;
};

/* One request; its body grows as it comes. */
typedef struct Call {
        Server *server;
        char *body;
        size_t size, room, max;
        bool too_large, is_file;
        int fd; /* owned; of an upload */
} Call;

static time_t seconds(void) {
        struct timespec t;

        return clock_gettime(CLOCK_MONOTONIC, &t) < 0 ? 0 : t.tv_sec;
}

static void call_free(Call *c) {
        if (!c)
                return;
        if (c->body)
                erase_memory(c->body, c->size);
        c->server->bodies -= c->room;
        c->server->uploads -= c->is_file;
        (void) fd_close(c->fd);
        free(c->body);
        free(c);
}

static void peer_link(Peer *p) {
        Server *s = p->server;

        p->since = seconds();
        p->next = NULL;
        p->link = s->last;
        *s->last = p;
        s->last = &p->next;
}

static void peer_unlink(Peer *p) {
        *p->link = p->next;
        if (p->next)
                p->next->link = p->link;
        else
                p->server->last = p->link;
}

static void peer_end(Peer *p) {
        p->told = true;
        if (p->fd >= 0)
                (void) shutdown(p->fd, SHUT_RDWR);
}

/* Before there is no room: who has waited longest without a whole request goes, so that a crowd of silent or slow clients cannot keep out
 * one that asks and is answered at once. */
static void make_room(Server *s) {
        if (s->n_peers <= SERVER_CONNECTIONS_MAX - SERVER_CONNECTIONS_SPARE)
                return;
        for (Peer *p = s->peers; p; p = p->next)
                if (!p->told) {
                        peer_end(p);
                        return;
                }
}

/* NULL without TLS. */
static gnutls_session_t session_of(struct MHD_Connection *connection) {
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

        return info ? info->tls_session : NULL;
}

static void on_connection(void *userdata, struct MHD_Connection *connection, void **socket_context,
                enum MHD_ConnectionNotificationCode code) {
        const union MHD_ConnectionInfo *info;
        Server *s = userdata;
        Peer *p;

        if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
                p = *socket_context;
                if (p) {
                        peer_unlink(p);
                        s->n_peers--;
                        free(p);
                }
                *socket_context = NULL;
                return;
        }
        p = calloc(1, sizeof(Peer));
        if (!p)
                return; /* ends by being idle only */
        info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *p = (Peer) { .server = s, .fd = info ? info->connect_fd : -EBADF };
        peer_link(p);
        s->n_peers++;
        *socket_context = p;
        if (s->settings.certificate)
                tls_ask_certificate(session_of(connection));
        make_room(s);
}

/* A peer that sends a byte now and then is never idle; it ends all the same. */
static void sweep(Server *s) {
        time_t now = seconds();

        if (now == s->swept)
                return;
        s->swept = now;
        for (Peer *p = s->peers; p && now - p->since > (time_t) SERVER_REQUEST_SECONDS; p = p->next)
                if (!p->told)
                        peer_end(p);
}

static void on_completed(void *userdata, struct MHD_Connection *connection, void **context,
                enum MHD_RequestTerminationCode code) {
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        Peer *p = info ? info->socket_context : NULL;

        (void) userdata;
        (void) code;
        if (p) {
                peer_unlink(p);
                peer_link(p);
        }
        call_free(*context);
        *context = NULL;
}

static bool add_headers(struct MHD_Response *m, const Reply *reply) {
        char number[16];

        if (reply->body &&
                        MHD_add_response_header(m, MHD_HTTP_HEADER_CONTENT_TYPE,
                                        reply->status >= 400 ? "application/problem+json"
                                                             : "application/json") != MHD_YES)
                return false;
        if (MHD_add_response_header(m, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") != MHD_YES)
                return false;
        if (reply->allow && MHD_add_response_header(m, MHD_HTTP_HEADER_ALLOW, reply->allow) != MHD_YES)
                return false;
        if (reply->status == 401 &&
                        MHD_add_response_header(m, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer") != MHD_YES)
                return false;
        (void) snprintf(number, sizeof(number), "%u", reply->retry_after);
        return reply->retry_after == 0 ||
                        MHD_add_response_header(m, MHD_HTTP_HEADER_RETRY_AFTER, number) == MHD_YES;
}

static enum MHD_Result send_reply(struct MHD_Connection *connection, const Reply *reply) {
        _cleanup_free_ char *text = reply->body ? js_text(reply->body, JS_SHORT) : NULL;
        struct MHD_Response *m;
        enum MHD_Result r = MHD_NO;

        if (reply->body && !text)
                return MHD_NO;
        m = MHD_create_response_from_buffer(text ? strlen(text) : 0, text, MHD_RESPMEM_MUST_COPY);
        if (m && add_headers(m, reply))
                r = MHD_queue_response(connection, reply->status, m);
        if (m)
                MHD_destroy_response(m);
        return r;
}

static enum MHD_Result refuse_size(struct MHD_Connection *connection, size_t max) {
        _cleanup_(reply_done) Reply reply = {};

        if (reply_problem(&reply, 413, "too-large", "The body is too large",
                            "this request may have %zu bytes of body", max) < 0)
                return MHD_NO;
        return send_reply(connection, &reply);
}

/* The path behind the prefix, or something that no route has. */
static const char *local_path(const Server *s, const char *url) {
        const char *p = startswith(url, s->settings.prefix);

        return p && *p == '/' ? p : "";
}

/* The address as text; of IPv6 the network, since whoever has one address of it has all. Nothing for other sockets. */
static const char *peer_name(struct MHD_Connection *connection, char buf[static INET6_ADDRSTRLEN]) {
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        const struct sockaddr *a = info ? info->client_addr : NULL;

        if (a && a->sa_family == AF_INET)
                return inet_ntop(
                                AF_INET, &((const struct sockaddr_in *) a)->sin_addr, buf, INET6_ADDRSTRLEN);
        if (a && a->sa_family == AF_INET6) {
                struct in6_addr in = ((const struct sockaddr_in6 *) a)->sin6_addr;

                if (!IN6_IS_ADDR_V4MAPPED(&in))
                        memset(in.s6_addr + 8, 0, 8);
                return inet_ntop(AF_INET6, &in, buf, INET6_ADDRSTRLEN);
        }
        return NULL;
}

/* Once for each connection. Without memory nobody has a certificate. */
static const TlsPeer *look_at_peer(Server *s, struct MHD_Connection *connection) {
        static const TlsPeer nobody = {};
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        gnutls_session_t session = session_of(connection);
        Peer *p = info ? info->socket_context : NULL;

        if (!p || !session)
                return &nobody;
        if (!p->looked && tls_peer(session, s->authority, &p->tls) < 0)
                return &nobody;
        p->looked = true;
        return &p->tls;
}

static Request request_of(Server *s, struct MHD_Connection *connection, const char *method, const char *url,
                char peer[static INET6_ADDRSTRLEN]) {
        const TlsPeer *tls = look_at_peer(s, connection);

        return (Request) {
                .method = method,
                .certificate = tls->has_certificate ? tls->fingerprint : NULL,
                .is_host = tls->is_host,
                .path = local_path(s, url),
                .authorization = MHD_lookup_connection_value(
                                connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION),
                .peer = peer_name(connection, peer),
        };
}

static enum MHD_Result answer(Server *s, struct MHD_Connection *connection, Request *q) {
        _cleanup_(reply_done) Reply reply = {};

        service_handle(s->settings.service, q, &reply);
        if (reply.error < 0 && s->settings.failed)
                s->settings.failed(s->settings.userdata, q, reply.error);
        return send_reply(connection, &reply);
}

static enum MHD_Result refuse_upload(struct MHD_Connection *connection) {
        _cleanup_(reply_done) Reply reply = { .retry_after = 5 };

        if (reply_problem(&reply, 503, "unavailable", "Not now", "others are uploading at the moment") < 0)
                return MHD_NO;
        return send_reply(connection, &reply);
}

/* Large bodies are only taken from those who may send them, and only so many at a time. */
static enum MHD_Result begin_upload(Server *s, struct MHD_Connection *connection, Request *q, Call *c) {
        int r = service_takes_upload(s->settings.service, q);

        if (r <= 0) { /* says why, before a byte is taken */
                c->max = 0;
                return answer(s, connection, q);
        }
        if (s->uploads >= UPLOADS_MAX)
                return refuse_upload(connection);
        c->fd = memfd_new("upload");
        if (c->fd < 0)
                return MHD_NO;
        c->is_file = true;
        s->uploads++;
        return MHD_YES;
}

static enum MHD_Result begin(Server *s, struct MHD_Connection *connection, const char *method,
                const char *url, void **context) {
        const char *length = MHD_lookup_connection_value(
                        connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
        char peer[INET6_ADDRSTRLEN];
        Request q = request_of(s, connection, method, url, peer);
        Call *c = calloc(1, sizeof(Call));
        uint64_t n;

        if (!c)
                return MHD_NO;
        c->server = s;
        c->fd = -EBADF;
        c->max = service_body_max(method, q.path);
        *context = c;
        /* Before a byte of it is taken: the connection is closed behind this answer. */
        if (length && (parse_u64(length, &n) < 0 || n > MAX(c->max, (size_t) DROPPED_MAX)))
                return refuse_size(connection, c->max);
        return c->max > BODY_SIZE_MAX ? begin_upload(s, connection, &q, c) : MHD_YES;
}

static int grow(Call *c, size_t need) {
        size_t twice = MIN(c->room * 2, c->max), room = MAX(need, twice);
        char *p;

        if (need <= c->room)
                return 0;
        if (room - c->room > BODIES_MAX - c->server->bodies)
                return -ENOBUFS;
        p = malloc(room);
        if (!p)
                return -ENOMEM;
        if (c->body) {
                memcpy(p, c->body, c->size);
                erase_memory(c->body, c->size);
                free(c->body);
        }
        c->server->bodies += room - c->room;
        c->body = p;
        c->room = room;
        return 0;
}

static enum MHD_Result take(Call *c, const char *data, size_t *size) {
        if (*size > MAX(c->max, (size_t) DROPPED_MAX) - c->size)
                c->too_large = true;
        if (!c->too_large) {
                if (c->is_file ? fd_write_all(c->fd, data, *size) < 0 : grow(c, c->size + *size) < 0)
                        return MHD_NO;
                if (!c->is_file)
                        memcpy(c->body + c->size, data, *size);
                c->size += *size;
        }
        *size = 0;
        return MHD_YES;
}

static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection, const char *url,
                const char *method, const char *version, const char *data, size_t *size, void **context) {
        Server *s = userdata;
        Call *c = *context;
        char peer[INET6_ADDRSTRLEN];
        Request q;

        (void) version;
        if (!c)
                return begin(s, connection, method, url, context);
        if (*size > 0)
                return take(c, data, size);
        if (c->too_large)
                return refuse_size(connection, c->max);
        q = request_of(s, connection, method, url, peer);
        q.body = c->body;
        q.body_size = c->size;
        q.is_file = c->is_file;
        q.fd = c->fd;
        return answer(s, connection, &q);
}

/* %2e and its like stay as they are: no id has a percent sign. */
static size_t keep_escapes(void *userdata, struct MHD_Connection *connection, char *text) {
        (void) userdata;
        (void) connection;
        return strlen(text);
}

Server *server_free(Server *s) {
        if (!s)
                return NULL;
        if (s->daemon)
                MHD_stop_daemon(s->daemon);
        tls_authority_free(s->authority);
        free(s);
        return NULL;
}

int server_new(const ServerSettings *settings, Server **ret, char **reterr) {
        const struct MHD_OptionItem with_tls[] = {
                { MHD_OPTION_HTTPS_MEM_CERT, 0, (void *) settings->certificate },
                { MHD_OPTION_HTTPS_MEM_KEY, 0, (void *) settings->key },
                { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *) TLS_PRIORITIES },
                { MHD_OPTION_END, 0, NULL },
        };
        struct MHD_OptionItem tls[ELEMENTSOF(with_tls)] = { { MHD_OPTION_END, 0, NULL } };
        _cleanup_server_ Server *s = calloc(1, sizeof(Server));
        int r;

        if (!s)
                return -ENOMEM;
        s->last = &s->peers;
        memcpy((void *) &s->settings, settings, sizeof(*settings));
        if (settings->host_authority) {
                r = tls_authority_new(settings->host_authority, &s->authority, reterr);
                if (r < 0)
                        return r;
        }
        if (settings->certificate)
                memcpy(tls, with_tls, sizeof(with_tls));
        s->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ITC | (settings->certificate ? MHD_USE_TLS : 0),
                        0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET,
                        (MHD_socket) settings->listen_fd, MHD_OPTION_CONNECTION_LIMIT,
                        SERVER_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, SERVER_IDLE_SECONDS,
                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY,
                        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
                        on_connection, s, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
                        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
        if (!s->daemon)
                return error_set(reterr, -EINVAL,
                                "cannot start the server: certificate and private key "
                                "must be PEM and belong together");
        *ret = TAKE_PTR(s);
        return 0;
}

int server_fd(const Server *s) {
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);

        return info ? info->epoll_fd : -EBADF;
}

int server_run(Server *s, uint64_t *ret_usec) {
        MHD_UNSIGNED_LONG_LONG msec;

        sweep(s);
        for (unsigned i = 0; i < TURNS_MAX; i++) {
                if (MHD_run(s->daemon) != MHD_YES)
                        return -EIO;
                if (MHD_get_timeout(s->daemon, &msec) != MHD_YES || msec > 0)
                        break;
        }
        *ret_usec = MHD_get_timeout(s->daemon, &msec) == MHD_YES
                        ? MIN((uint64_t) msec * 1000, (uint64_t) SWEEP_USEC)
                        : SWEEP_USEC;
        return 0;
}
