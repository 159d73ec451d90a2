/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The service at work: its sockets and signals. SIGHUP reads the certificates again: a second server takes new connections on the same socket, and
 * the one before answers those that it has. SIGTERM ends the service when the requests that are on their way have been answered. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "attestd-accept.h"
#include "attestd-journal.h"
#include "attestd.h"
#include "daemon.h"
#include "error.h"
#include "fd.h"
#include "json.h"
#include "log.h"
#include "loop.h"
#include "strutil.h"

#define KEY_USEC     (3u * 1000000) /* how often the store's key is looked at */
#define FILES_WANTED (SERVER_CONNECTIONS_MAX * 2u + 64u)
#define SERVERS_MAX  4u       /* the current one, and those of certificates before */
#define DRAIN_USEC   5000000u /* for requests that are on their way when we are told to end */
#define DRAIN_LOOK   50000u
#define FRESH_MSEC   1000u /* a connection that began so recently is going to send a request */

typedef struct Slot {
        Server *server;
        LoopSource *io;
} Slot;

typedef struct Daemon {
        Slot slots[SERVERS_MAX]; /* the first is the current one */
        int listen_fd;           /* of the current server, which owns it; negative: the acceptor has it */
        Acceptor *acceptor;      /* with --proxy-protocol= */
        const AttestdArgs *args;
        AttestdWorld *world;
        AttestdMonitor monitor;
        Loop *loop;
        LoopSource *timer, *key_timer, *monitor_io, *via_io, *signals[3];
        uint64_t due;  /* when the timer comes */
        uint64_t ends; /* is being stopped: the latest time; 0: is not */
        int notify_fd; /* owned */
        bool via_gone;
} Daemon;

static uint64_t uptime_usec(void) {
        struct timespec t;

        return clock_gettime(CLOCK_MONOTONIC, &t) < 0
                        ? 0
                        : (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static void slot_done(Slot *s) {
        s->io = loop_source_unref(s->io);
        s->server = server_free(s->server);
}

/* A server of certificates before ends with its last connection. */
static void end_retired(Daemon *d) {
        for (size_t i = 1; i < SERVERS_MAX; i++)
                if (d->slots[i].server && server_connections(d->slots[i].server) == 0)
                        slot_done(d->slots + i);
}

static bool is_drained(const Daemon *d) {
        FOREACH_ARRAY(s, d->slots, SERVERS_MAX)
                if (s->server && !server_is_idle(s->server, FRESH_MSEC))
                        return false;
        return true;
}

/* The timer is set again only if it would be late: an early wake-up costs less than setting it at each request. */
static int turn(Daemon *d) {
        uint64_t usec = UINT64_MAX, now, one;
        int r = 0;

        FOREACH_ARRAY(s, d->slots, SERVERS_MAX)
                if (s->server && r >= 0) {
                        r = server_run(s->server, &one);
                        usec = MIN(usec, one);
                }
        if (d->monitor.httpd && r >= 0) {
                r = httpd_run(d->monitor.httpd, &one);
                usec = MIN(usec, one);
        }
        if (r < 0)
                return r;
        end_retired(d);
        now = uptime_usec();
        if (d->ends > 0 && (now >= d->ends || is_drained(d)))
                return loop_exit(d->loop, 0);
        if (d->ends > 0)
                usec = MIN(usec, (uint64_t) DRAIN_LOOK);
        if (d->due > now && d->due <= now + usec)
                return 0;
        d->due = now + usec;
        return loop_source_rearm(d->timer, usec);
}

static int on_io(_unused_ LoopSource *s, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        return turn(userdata);
}

static int on_timer(_unused_ LoopSource *s, _unused_ uint64_t usec, void *userdata) {
        ((Daemon *) userdata)->due = 0;
        return turn(userdata);
}

/* The key changes while nobody asks, too. */
static int on_key_timer(LoopSource *s, _unused_ uint64_t usec, void *userdata) {
        (void) attestd_rekey(((Daemon *) userdata)->world);
        return loop_source_rearm(s, KEY_USEC);
}

/* The second signal does not wait. */
static int on_end(_unused_ LoopSource *s, _unused_ const struct signalfd_siginfo *si, void *userdata) {
        Daemon *d = userdata;

        if (d->ends > 0)
                return loop_exit(d->loop, 0);
        journal_log(LOG_LEVEL_NOTICE, &(JournalFields) { .id = MESSAGE_ENDS },
                        "no new connections; ends when requests that are on their way are answered");
        d->ends = uptime_usec() + DRAIN_USEC;
        d->monitor.ends = true;
        d->acceptor = acceptor_free(d->acceptor);
        daemon_notify(d->notify_fd, "STOPPING=1");
        FOREACH_ARRAY(slot, d->slots, SERVERS_MAX)
                if (slot->server)
                        server_quiesce(slot->server);
        return turn(d);
}

/* Once for each request that failed internally; never with its contents. */
static void on_failure(void *userdata, const Request *q, int error) {
        Store *store = ((AttestdWorld *) userdata)->store;
        const char *reason = store->ops->reason ? store->ops->reason(store) : NULL;

        journal_log(LOG_LEVEL_ERROR, &(JournalFields) { MESSAGE_FAILED, q->method, q->path, error },
                        "%s %s: %s%s%s", q->method, q->path,
                        error == -EKEYREJECTED ? "a stored secret cannot be decrypted with this secrets key"
                                        : error == -EKEYEXPIRED
                                        ? "the secrets are encrypted with another key by now: start the service with it"
                                        : strerror(-error),
                        reason ? "; the database's last failure: " : "", reason ?: "");
}

/* A server with these certificates, which takes fd, in the first slot. */
static int add_server(Daemon *d, const AttestdWorld *certificates, int fd, char **reterr) {
        const ServerSettings settings = { .service = &d->world->service,
                .listen_fd = fd,
                .certificate = certificates->tls.certificate,
                .key = certificates->tls.key,
                .host_authority = certificates->host_ca,
                .prefix = d->args->prefix ?: "",
                .failed = on_failure,
                .userdata = d->world };
        Slot slot = {};
        int r = server_new(&settings, &slot.server, reterr);

        if (r >= 0)
                r = loop_add_io(d->loop, server_fd(slot.server), EPOLLIN, on_io, d, &slot.io);
        if (r < 0) {
                slot_done(&slot);
                return r;
        }
        d->slots[0] = slot;
        d->listen_fd = fd;
        return 0;
}

static void on_connection(void *userdata, int fd, const struct sockaddr_storage *address, socklen_t size) {
        Daemon *d = userdata;

        server_take(d->slots[0].server, fd, address, size);
        /* At once: what the connection has to say may have been read already. */
        (void) turn(d);
}

/* The server that takes fd, or the acceptor that hands it connections. */
static int begin_listening(Daemon *d, int fd, char **reterr) {
        const AcceptorSettings settings = { fd, &d->args->proxies, on_connection, d };
        int r;

        if (!d->args->proxy_protocol)
                return add_server(d, d->world, fd, reterr);
        r = add_server(d, d->world, -EBADF, reterr);
        if (r < 0) {
                (void) fd_close(fd);
                return r;
        }
        return acceptor_new(d->loop, &settings, &d->acceptor);
}

static int reload(Daemon *d, char **reterr) {
        _cleanup_(attestd_world_done) AttestdWorld fresh = {};
        _cleanup_close_ int fd = -EBADF;
        Slot *free_slot = NULL, before = d->slots[0];
        int r;

        FOREACH_ARRAY(s, d->slots, SERVERS_MAX)
                if (!s->server)
                        free_slot = s;
        if (!free_slot)
                return error_set(reterr, -EBUSY,
                                "connections of several certificates before are still open: try again in a minute");
        r = attestd_load_tls(d->args, &fresh, reterr);
        if (r < 0)
                return r;
        fd = d->acceptor ? -EBADF : fcntl(d->listen_fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0 && !d->acceptor)
                return -errno;
        r = add_server(d, &fresh, fd, reterr);
        if (r < 0)
                return r;
        (void) TAKE_FD(fd);
        d->world->service.tls_until = fresh.service.tls_until;
        d->world->service.host_ca_until = fresh.service.host_ca_until;
        server_quiesce(before.server);
        *free_slot = before;
        return 0;
}

/* Apart from the certificates of the service: what cannot be used of one kind keeps nothing of the other. */
static void reload_collateral(Daemon *d) {
        _cleanup_free_ char *error = NULL;
        int r = attestd_load_tdx_collateral(d->args, d->world, &error);

        if (r < 0)
                journal_log(LOG_LEVEL_ERROR, &(JournalFields) { .id = MESSAGE_NOT_RELOADED, .error = r },
                                "SIGHUP: Intel's statements of before stay in use: %s",
                                error ?: strerror(-r));
        else
                journal_log(LOG_LEVEL_NOTICE, &(JournalFields) { .id = MESSAGE_RELOADED },
                                "SIGHUP: quotes are verified with the files of --tdx-collateral that were read now");
}

static int on_reload(_unused_ LoopSource *s, _unused_ const struct signalfd_siginfo *si, void *userdata) {
        _cleanup_free_ char *error = NULL;
        Daemon *d = userdata;
        int r;

        if (d->ends > 0)
                return 0;
        if (d->args->tdx_collateral)
                reload_collateral(d);
        if (!d->args->tls_cert) {
                if (!d->args->tdx_collateral)
                        log_notice("SIGHUP: the service has no certificate files to read again, ignoring");
                return 0;
        }
        r = reload(d, &error);
        if (r < 0)
                journal_log(LOG_LEVEL_ERROR, &(JournalFields) { .id = MESSAGE_NOT_RELOADED, .error = r },
                                "SIGHUP: the certificates of before stay in use: %s", error ?: strerror(-r));
        else
                journal_log(LOG_LEVEL_NOTICE, &(JournalFields) { .id = MESSAGE_RELOADED },
                                "SIGHUP: new connections get the certificates that were read now");
        return turn(d);
}

static int announce(const Daemon *d, const char *address) {
        const AttestdArgs *a = d->args;
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        char url[160];
        int r;

        daemon_notify(d->notify_fd, "READY=1");
        if (!a->dev) {
                journal_log(LOG_LEVEL_NOTICE, &(JournalFields) { .id = MESSAGE_LISTENS }, "listening on %s",
                                address);
                return 0;
        }
        (void) snprintf(url, sizeof(url), "%s://%s%s", a->plain ? "http" : "https", address,
                        a->prefix ?: "");
        r = js_build(&j, "{s:s, s:s}", "url", url, "state", d->world->state);
        text = r >= 0 ? js_text(j, JS_SHORT) : NULL;
        if (!text)
                return -ENOMEM;
        (void) printf("%s\n", text);
        return fflush(stdout) == 0 ? 0 : -EIO;
}

/* A descriptor for each connection; fewer connections if the limit cannot be raised. */
static void raise_files(void) {
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= FILES_WANTED)
                return;
        l.rlim_cur = MIN(l.rlim_max, (rlim_t) FILES_WANTED);
        (void) setrlimit(RLIMIT_NOFILE, &l);
}

/* The socket that the service manager passed, or a new one. */
static int open_socket(const AttestdArgs *a, int *ret_fd, char **ret_address, char **reterr) {
        const char *local = a->plain
                        ? "--plain: only on a loopback address or a unix socket, where the proxy is"
                        : NULL;
        int r = daemon_passed_sockets(1, reterr);

        if (r > 0)
                return daemon_take_socket(0, local, ret_fd, ret_address, reterr);
        if (r == 0)
                r = daemon_listen(a->listen ?: ATTESTD_LISTEN_DEFAULT, local, ret_fd, ret_address, reterr);
        return r < 0 ? error_prefix(reterr, r, "--listen") : 0;
}

static int add_sources(Daemon *d) {
        int r = loop_add_signal(d->loop, SIGTERM, on_end, d, &d->signals[0]);

        if (r >= 0)
                r = loop_add_signal(d->loop, SIGINT, on_end, d, &d->signals[1]);
        if (r >= 0)
                r = loop_add_signal(d->loop, SIGHUP, on_reload, d, &d->signals[2]);
        if (r >= 0)
                r = loop_add_timer(d->loop, 0, on_timer, d, &d->timer);
        if (r >= 0)
                r = loop_add_timer(d->loop, KEY_USEC, on_key_timer, d, &d->key_timer);
        return r;
}

static int add_monitor(Daemon *d, char **reterr) {
        _cleanup_free_ char *address = NULL;
        int r;

        if (!d->args->metrics)
                return 0;
        d->monitor.service = &d->world->service;
        r = attestd_monitor(d->args, &d->monitor, &address, reterr);
        if (r >= 0)
                r = loop_add_io(d->loop, httpd_fd(d->monitor.httpd), EPOLLIN, on_io, d, &d->monitor_io);
        if (r >= 0)
                log_notice("monitoring is answered on %s", address);
        return r;
}

static void daemon_done(Daemon *d) {
        acceptor_free(d->acceptor);
        FOREACH_ARRAY(s, d->slots, SERVERS_MAX)
                slot_done(s);
        loop_source_unref(d->monitor_io);
        attestd_monitor_done(&d->monitor);
        loop_source_unref(d->via_io);
        loop_source_unref(d->timer);
        loop_source_unref(d->key_timer);
        FOREACH_ARRAY(s, d->signals, ELEMENTSOF(d->signals))
                loop_source_unref(*s);
        loop_unref(d->loop);
        (void) fd_close(d->notify_fd);
}

/* It ends after this process, never before. */
static int on_via_gone(_unused_ LoopSource *s, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        Daemon *d = userdata;

        d->via_gone = true;
        return loop_exit(d->loop, -EPIPE);
}

int attestd_serve(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        _cleanup_(daemon_done) Daemon d = { .args = a, .world = w, .notify_fd = -EBADF };
        _cleanup_free_ char *address = NULL;
        int r, fd = -EBADF;

        raise_files();
        d.notify_fd = daemon_notify_open();
        r = attestd_load_tls(a, w, reterr);
        if (r >= 0)
                r = open_socket(a, &fd, &address, reterr);
        if (r >= 0)
                r = loop_new(&d.loop);
        if (r >= 0)
                r = begin_listening(&d, fd, reterr);
        if (r >= 0)
                r = add_monitor(&d, reterr);
        if (r >= 0)
                r = add_sources(&d);
        if (r >= 0)
                r = attestd_confine(a, w, reterr);
        if (r >= 0 && w->via)
                r = attestd_via_begin(w->via, address);
        if (r >= 0 && w->via && w->via->fd >= 0)
                r = loop_add_io(d.loop, w->via->fd, EPOLLIN, on_via_gone, &d, &d.via_io);
        if (r >= 0)
                r = announce(&d, address);
        if (r >= 0)
                r = loop_run(d.loop);
        return d.via_gone
                        ? error_set(reterr, -EPIPE,
                                          "--via: the process that connects to the relay has ended: without it hosts do not reach this service")
                        : r;
}
