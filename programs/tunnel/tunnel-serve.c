/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The relay at work: one socket, which hosts and owners connect to. It connects to nobody, and cannot: its system calls and files are those of
 * this work. SIGHUP reads tunnels and certificates again. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "daemon.h"
#include "error.h"
#include "fd.h"
#include "input.h"
#include "log.h"
#include "loop.h"
#include "strutil.h"
#include "tunnel-relay.h"
#include "tunnel.h"

#define LISTEN_DEFAULT "[::]:443"
#define PEM_SIZE_MAX   (64u * 1024)
#define FILES_SPARE    512u      /* strangers, and what is open anyway */
#define PAUSE_USEC     100000u   /* without a descriptor for a new connection */
#define TURN_MAX       64u       /* new connections, before the others get their turn */
#define QUIET_USEC     10000000u /* between two lines about what strangers can cause */

typedef struct Gate {
        const TunnelArgs *args;
        Loop *loop;
        LoopSource *io, *timer, *quiet, *signals[3];
        TunnelRelay *relay;
        int listen_fd, notify_fd; /* owned */
        unsigned told;            /* lines about strangers since the timer came last */
} Gate;

static void gate_done(Gate *g) {
        tunnel_relay_free(g->relay);
        loop_source_unref(g->io);
        loop_source_unref(g->timer);
        loop_source_unref(g->quiet);
        FOREACH_ARRAY(s, g->signals, ELEMENTSOF(g->signals))
                loop_source_unref(*s);
        loop_unref(g->loop);
        (void) fd_close(g->listen_fd);
        (void) fd_close(g->notify_fd);
}

static void on_told(void *userdata, TunnelEvent event, const char *id) {
        Gate *g = userdata;

        switch (event) {
        case TUNNEL_UP:
                return log_notice("%s: the owner's end is connected", id);
        case TUNNEL_DOWN:
                return log_notice("%s: the owner's end is gone", id);
        case TUNNEL_REPLACED:
        case TUNNEL_DENIED:
        case TUNNEL_FULL:
                break;
        }
        if (g->told++ > 0)
                return;
        if (event == TUNNEL_REPLACED)
                log_notice("%s: another connection with its token took the place of the owner's end", id);
        else if (event == TUNNEL_DENIED)
                log_warning("%s: refused an owner's end: unknown tunnel, or wrong token", id);
        else
                log_warning("%s: refused a host: too many connections", id);
}

static int on_quiet(LoopSource *s, _unused_ uint64_t usec, void *userdata) {
        Gate *g = userdata;

        if (g->told > 1)
                log_warning("the like %u times more", g->told - 1);
        g->told = 0;
        return loop_source_rearm(s, QUIET_USEC);
}

static int on_listen(LoopSource *s, int fd, _unused_ uint32_t events, void *userdata) {
        Gate *g = userdata;

        for (unsigned i = 0; i < TURN_MAX; i++) {
                int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (c >= 0)
                        tunnel_relay_accept(g->relay, c);
                else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                        int r = loop_source_set_io_events(s, 0);

                        return r < 0 ? r : loop_source_rearm(g->timer, PAUSE_USEC);
                } else if (errno != EINTR && errno != ECONNABORTED)
                        break;
        }
        return 0;
}

static int on_pause_over(_unused_ LoopSource *s, _unused_ uint64_t usec, void *userdata) {
        return loop_source_set_io_events(((Gate *) userdata)->io, EPOLLIN);
}

static int on_end(_unused_ LoopSource *s, _unused_ const struct signalfd_siginfo *si, void *userdata) {
        Gate *g = userdata;

        daemon_notify(g->notify_fd, "STOPPING=1");
        return loop_exit(g->loop, 0);
}

int tunnel_read_file(const TunnelArgs *a, TunnelList *ret, char **ret_text, char **reterr) {
        const char *path = a->tunnels ?: TUNNEL_FILE_DEFAULT;
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        int r = input_read("tunnels", path, TUNNEL_LIST_SIZE_MAX, &text, &size, reterr);

        if (r < 0)
                return r;
        r = tunnel_list_read(text, size, ret, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--tunnels: '%s'", path);
        if (ret_text)
                *ret_text = TAKE_PTR(text);
        return 0;
}

static int load_tls(const TunnelArgs *a, TlsContext **ret, char **reterr) {
        _cleanup_free_ char *certificate = NULL;
        char *key = NULL;
        size_t n = 0, n_key = 0;
        int r = input_read("tls-cert", a->tls_cert, PEM_SIZE_MAX, &certificate, &n, reterr);

        if (r >= 0)
                r = input_read("tls-key", a->tls_key, PEM_SIZE_MAX, &key, &n_key, reterr);
        if (r >= 0) {
                r = tls_context_server(certificate, key, ret, reterr);
                if (r < 0)
                        r = error_prefix(reterr, r, "--tls-cert, --tls-key");
        }
        erase_string_free(key);
        return r;
}

static int on_reload(_unused_ LoopSource *s, _unused_ const struct signalfd_siginfo *si, void *userdata) {
        _cleanup_free_ char *error = NULL, *why = NULL;
        TlsContext *tls = NULL;
        TunnelList list = {};
        Gate *g = userdata;
        int r = tunnel_read_file(g->args, &list, NULL, &error), k = load_tls(g->args, &tls, &why);

        if (r < 0)
                log_error("SIGHUP: the tunnels that were read before stay in use: %s",
                                error ?: strerror(-r));
        else
                log_notice("SIGHUP: %zu tunnels%s", list.n,
                                k < 0 ? "" : ", and the certificate that was read now");
        /* A renewed certificate whose key is not there yet keeps no tunnel that was removed. */
        if (k < 0)
                log_error("SIGHUP: the certificate that was read before stays in use: %s",
                                why ?: strerror(-k));
        tunnel_relay_reload(g->relay, r < 0 ? NULL : &list, tls);
        return 0;
}

/* Two descriptors for each host, one for each owner. */
static void raise_files(const TunnelArgs *a) {
        const rlim_t wanted = 2 * (rlim_t) a->connections + TUNNEL_LIST_MAX + FILES_SPARE;
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= wanted)
                return;
        if (l.rlim_max < wanted)
                log_warning("the limit of open files is %llu: it may be reached before the number of connections is",
                                (unsigned long long) l.rlim_max);
        l.rlim_cur = MIN(l.rlim_max, wanted);
        (void) setrlimit(RLIMIT_NOFILE, &l);
}

static int prepare(Gate *g, char **ret_address, char **reterr) {
        const TunnelArgs *a = g->args;
        const TunnelRelaySettings settings = { .name = a->name,
                .connections_max = a->connections,
                .tunnel_max = a->per_tunnel,
                .told = on_told,
                .userdata = g };
        TlsContext *tls = NULL;
        TunnelList list = {};
        int r = tunnel_read_file(a, &list, NULL, reterr);

        if (r >= 0)
                r = load_tls(a, &tls, reterr);
        if (r >= 0)
                r = loop_new(&g->loop);
        if (r >= 0)
                r = tunnel_relay_new(g->loop, &settings, &list, tls, &g->relay);
        if (r < 0) {
                tunnel_list_done(&list);
                tls_context_free(tls);
                return r;
        }
        r = daemon_passed_sockets(1, reterr);
        if (r > 0)
                r = daemon_take_socket(0, NULL, &g->listen_fd, ret_address, reterr);
        else if (r == 0)
                r = daemon_listen(a->listen ?: LISTEN_DEFAULT, NULL, &g->listen_fd, ret_address, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--listen");
        r = loop_add_io(g->loop, g->listen_fd, EPOLLIN, on_listen, g, &g->io);
        if (r >= 0)
                r = loop_add_timer(g->loop, PAUSE_USEC, on_pause_over, g, &g->timer);
        if (r >= 0)
                r = loop_add_timer(g->loop, QUIET_USEC, on_quiet, g, &g->quiet);
        if (r >= 0)
                r = loop_add_signal(g->loop, SIGTERM, on_end, g, &g->signals[0]);
        if (r >= 0)
                r = loop_add_signal(g->loop, SIGINT, on_end, g, &g->signals[1]);
        if (r >= 0)
                r = loop_add_signal(g->loop, SIGHUP, on_reload, g, &g->signals[2]);
        return r;
}

/* Files that are replaced are new ones: their folders are what must stay readable. */
static int confine(const TunnelArgs *a, char **reterr) {
        const char *const files[] = { a->tls_cert, a->tls_key, a->tunnels ?: TUNNEL_FILE_DEFAULT };
        ConfinePath paths[2 * ELEMENTSOF(files)];
        _cleanup_strv_free_ char **folders = NULL;
        size_t n = 0;
        int r = 0;

        FOREACH_ARRAY(f, files, ELEMENTSOF(files))
                if (r >= 0)
                        r = daemon_folders_of(*f, &folders);
        if (r < 0)
                return r;
        STRV_FOREACH(f, folders)
                paths[n++] = (ConfinePath) { *f, false };
        return daemon_confine(&(DaemonConfinement) { .paths = paths, .n_paths = n }, reterr);
}

int tunnel_serve(const TunnelArgs *a, char **reterr) {
        _cleanup_(gate_done) Gate g = { .args = a, .listen_fd = -EBADF, .notify_fd = -EBADF };
        _cleanup_free_ char *address = NULL;
        int r;

        secret_forbid_core();
        (void) signal(SIGPIPE, SIG_IGN);
        raise_files(a);
        g.notify_fd = daemon_notify_open();
        r = prepare(&g, &address, reterr);
        if (r >= 0)
                r = confine(a, reterr);
        if (r < 0)
                return r;
        log_notice("relaying on %s: hosts reach a tunnel at ID.%s", address, a->name);
        daemon_notify(g.notify_fd, "READY=1");
        return loop_run(g.loop);
}
