/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-server.h"

#include <errno.h>
#include <microhttpd.h>
#include <string.h>
#include <unistd.h>

#include "attestd-page.h"
#include "attestd-peer.h"
#include "attestd-send.h"
#include "attestd-tls.h"
#include "error.h"
#include "fd.h"
#include "secret.h"
#include "strutil.h"

#define CONNECTION_MEMORY (16u * 1024)        /* request line, headers, read buffer */
#define BODIES_MAX        (16u * 1024 * 1024) /* of all connections together */
#define UPLOADS_MAX       2u                  /* at a time: they lie in memory too, as files */
#define DROPPED_MAX       1024u               /* body that is read although the request takes none */
#define TURNS_MAX         16u                 /* while there is work, before signals are looked at */
#define SWEEP_USEC        1000000u

struct Server {
        const ServerSettings settings;
        struct MHD_Daemon *daemon;
        TlsAuthority *authority; /* owned, or NULL */
        HttpdPeers peers;
        bool quiet;    /* accepts nothing any more */
        size_t calls;  /* requests on their way */
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

static void call_free(Call *c) {
        if (!c)
                return;
        if (c->body)
                erase_memory(c->body, c->size);
        c->server->calls--;
        c->server->bodies -= c->room;
        c->server->uploads -= c->is_file;
        (void) fd_close(c->fd);
        free(c->body);
        free(c);
}

static void on_completed(void *userdata, struct MHD_Connection *connection, void **context,
                enum MHD_RequestTerminationCode code) {
        (void) userdata;
        (void) code;
        httpd_peer_answered(connection);
        call_free(*context);
        *context = NULL;
}

/* The path after the prefix, or something that no route has. */
static const char *local_path(const Server *s, const char *url) {
        const char *p = startswith(url, s->settings.prefix);

        return p && *p == '/' ? p : "";
}

/* Browsers say where a request comes from (Fetch Metadata); other clients do not. */
static bool is_cross_site(struct MHD_Connection *connection) {
        const char *site = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Sec-Fetch-Site");

        return site && !streq(site, "same-origin") && !streq(site, "none");
}

static Request request_of(Server *s, struct MHD_Connection *connection, const char *method, const char *url,
                char peer[static INET6_ADDRSTRLEN]) {
        const TlsPeer *tls = peer_certificate(connection, s->authority);

        return (Request) {
                .method = method,
                .certificate = tls->has_certificate ? tls->fingerprint : NULL,
                .certificate_until = tls->until,
                .is_host = tls->is_host,
                .cross_site = is_cross_site(connection),
                .path = local_path(s, url),
                .authorization = MHD_lookup_connection_value(
                                connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION),
                .peer = httpd_peer_address(connection, peer),
        };
}

static enum MHD_Result send_logged(
                Server *s, struct MHD_Connection *connection, const Request *q, const Reply *reply) {
        if (reply->error < 0 && s->settings.failed)
                s->settings.failed(s->settings.userdata, q, reply->error);
        return server_send_reply(connection, reply);
}

static enum MHD_Result answer(Server *s, struct MHD_Connection *connection, Request *q) {
        _cleanup_(reply_done) Reply reply = {};

        if (page_has(q->path))
                return page_send(connection, q->method, q->path);
        service_handle(s->settings.service, q, &reply);
        reply.closes = s->quiet;
        return send_logged(s, connection, q, &reply);
}

/* A failure of the service, which never reads as a fault of the client. */
static enum MHD_Result fail(Server *s, struct MHD_Connection *connection, const Request *q, int error) {
        _cleanup_(reply_done) Reply reply = {};

        service_failed(error, &reply);
        return send_logged(s, connection, q, &reply);
}

/* A path that does not exist is not found, however large the body. */
static enum MHD_Result refuse_body(Server *s, struct MHD_Connection *connection, Request *q, size_t max) {
        return service_has_route(q->method, q->path) ? server_refuse_size(connection, max)
                                                     : answer(s, connection, q);
}

/* Large bodies are accepted only from authorized clients, and only a few at a time. */
static enum MHD_Result begin_upload(Server *s, struct MHD_Connection *connection, Request *q, Call *c) {
        int r = service_takes_upload(s->settings.service, q);

        if (r <= 0) { /* says why, before a byte is taken */
                c->max = 0;
                return r < 0 ? fail(s, connection, q, r) : answer(s, connection, q);
        }
        if (s->uploads >= UPLOADS_MAX)
                return server_refuse_upload(connection);
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
        int r;

        if (!c)
                return MHD_NO;
        c->server = s;
        s->calls++;
        c->fd = -EBADF;
        *context = c;
        r = service_body_max(method, q.path, &c->max);
        if (r < 0)
                return fail(s, connection, &q, r);
        /* Before a byte of it is taken: the connection is closed after this answer. */
        if (length && (parse_u64(length, &n) < 0 || n > MAX(c->max, (size_t) DROPPED_MAX)))
                return refuse_body(s, connection, &q, c->max);
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
        q = request_of(s, connection, method, url, peer);
        if (c->too_large)
                return refuse_body(s, connection, &q, c->max);
        q.body = c->body;
        q.body_size = c->size;
        q.is_file = c->is_file;
        q.fd = c->fd;
        return answer(s, connection, &q);
}

/* Escapes such as %2e are not decoded: an id cannot contain a percent sign. */
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
        const struct MHD_OptionItem listening[] = {
                { MHD_OPTION_LISTEN_SOCKET, settings->listen_fd, NULL },
                { MHD_OPTION_END, 0, NULL },
        }, none = { MHD_OPTION_END, 0, NULL };
        const bool listens = settings->listen_fd >= 0;
        const struct MHD_OptionItem with_tls[] = {
                { MHD_OPTION_HTTPS_MEM_CERT, 0, (void *) settings->certificate },
                { MHD_OPTION_HTTPS_MEM_KEY, 0, (void *) settings->key },
                { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *) tls_priorities() },
                { MHD_OPTION_END, 0, NULL },
        };
        struct MHD_OptionItem tls[ELEMENTSOF(with_tls)] = { { MHD_OPTION_END, 0, NULL } };
        _cleanup_server_ Server *s = calloc(1, sizeof(Server));
        int r;

        if (!s)
                return -ENOMEM;
        s->peers = (HttpdPeers) { .max = SERVER_CONNECTIONS_MAX,
                .spare = SERVER_CONNECTIONS_SPARE,
                .request_seconds = SERVER_REQUEST_SECONDS,
                .begin = settings->certificate ? peer_begin : NULL };
        httpd_peers_init(&s->peers);
        memcpy((void *) &s->settings, settings, sizeof(*settings));
        if (settings->host_authority) {
                r = tls_authority_new(settings->host_authority, &s->authority, reterr);
                if (r < 0)
                        return r;
        }
        if (settings->certificate)
                memcpy(tls, with_tls, sizeof(with_tls));
        s->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ITC |
                                        (settings->certificate ? MHD_USE_TLS : 0) |
                                        (listens ? 0 : MHD_USE_NO_LISTEN_SOCKET),
                        0, NULL, NULL, on_request, s, MHD_OPTION_ARRAY, listens ? listening : &none,
                        MHD_OPTION_CONNECTION_LIMIT, SERVER_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                        SERVER_IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY,
                        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
                        httpd_peer_on_connection, &s->peers, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes,
                        NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
        if (!s->daemon)
                return error_set(reterr, -EINVAL,
                                "cannot start the server: --tls-cert and --tls-key must be PEM and belong together");
        *ret = TAKE_PTR(s);
        return 0;
}

int server_fd(const Server *s) {
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);

        return info ? info->epoll_fd : -EBADF;
}

void server_take(Server *s, int fd, const struct sockaddr_storage *address, socklen_t size) {
        /* On failure the library has closed it: its limit of connections. */
        (void) MHD_add_connection(s->daemon, fd, (const struct sockaddr *) address, size);
}

void server_quiesce(Server *s) {
        MHD_socket fd = MHD_quiesce_daemon(s->daemon);

        s->quiet = true;
        if (fd != MHD_INVALID_SOCKET)
                (void) close(fd);
}

bool server_is_idle(const Server *s, uint64_t msec) {
        return s->calls == 0 && !httpd_peers_are_fresh(&s->peers, msec);
}

size_t server_connections(const Server *s) {
        return s->peers.n;
}

int server_run(Server *s, uint64_t *ret_usec) {
        MHD_UNSIGNED_LONG_LONG msec;

        httpd_peers_sweep(&s->peers);
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
