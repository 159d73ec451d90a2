/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --via=: the service behind NAT, which a relay makes reachable (cvmspawn-tunnel(8)). A child does it: it keeps the network, which the service gives
 * up, and has no secret but the tunnel's token. It forwards bytes between the relay and the service's own socket; TLS begins and ends in the
 * service. The service says over the socket pair where it listens; when that is closed, the child ends. */

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attestd.h"
#include "daemon.h"
#include "error.h"
#include "fd.h"
#include "log.h"
#include "loop.h"
#include "tunnel-owner.h"
#include "tunnel-via.h"

#define ADDRESS_MAX 256u

typedef struct ViaChild {
        TunnelVia via;
        const ProxySources *proxies; /* weak */
        int fd, parent_fd;
} ViaChild;

static void on_told(_unused_ void *userdata, bool up, const char *text) {
        if (up)
                log_notice("%s", text);
        else
                log_warning("%s", text);
}

static int on_parent(LoopSource *s, int fd, _unused_ uint32_t events, void *userdata) {
        char byte;

        (void) s;
        return recv(fd, &byte, 1, MSG_DONTWAIT) == 0 ? loop_exit(userdata, 0) : 0;
}

/* Who connects to "any" address gets there, and comes from there. */
static void name_loopback(struct sockaddr_storage *a) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) a;
        struct sockaddr_in *in = (struct sockaddr_in *) a;

        if (a->ss_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY))
                in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        else if (a->ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
                in6->sin6_addr = in6addr_loopback;
}

static int serve(ViaChild *c, const char *address) {
        TunnelOwnerSettings settings = { .relay = c->via.relay, .tls = c->via.tls, .told = on_told };
        _cleanup_(tunnel_owner_freep) TunnelOwner *owner = NULL;
        _cleanup_(loop_source_unrefp) LoopSource *parent = NULL;
        _cleanup_(loop_unrefp) Loop *loop = NULL;
        int r = tunnel_address_parse(address, &settings.service);

        if (r >= 0)
                name_loopback(&settings.service.address);
        /* Where the service reads headers of connections from there, the hosts behind the relay have their own shares. */
        settings.proxy_header = r >= 0 && proxy_sources_have(c->proxies, &settings.service.address);
        if (r >= 0)
                r = loop_new(&loop);
        if (r >= 0)
                r = loop_add_io(loop, c->fd, EPOLLIN, on_parent, loop, &parent);
        if (r >= 0)
                r = tunnel_owner_new(loop, &settings, c->via.token, &owner);
        erase_memory(c->via.token, sizeof(c->via.token));
        if (r >= 0)
                r = loop_run(loop);
        /* The sources end before their loop. */
        owner = tunnel_owner_free(owner);
        parent = loop_source_unref(parent);
        return r;
}

static int child_main(void *userdata) {
        _cleanup_free_ char *error = NULL;
        char address[ADDRESS_MAX + 1];
        ViaChild *c = userdata;
        ssize_t n;
        int r;

        (void) close(c->parent_fd);
        /* A terminal and a service manager signal both processes; this one ends with the other. */
        (void) signal(SIGINT, SIG_IGN);
        (void) signal(SIGTERM, SIG_IGN);
        (void) signal(SIGHUP, SIG_IGN);
        do
                n = recv(c->fd, address, ADDRESS_MAX, 0);
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return 0; /* the service did not start */
        address[n] = 0;
        r = daemon_confine_forwarder(&error);
        if (r >= 0)
                r = serve(c, address);
        if (r < 0)
                log_error("--via: the service is not reachable through the relay: %s",
                                error ?: strerror(-r));
        return r < 0;
}

int attestd_via_start(const AttestdArgs *a, AttestdVia *v, char **reterr) {
        ViaChild child = { .proxies = &a->proxies };
        int fds[2], r = tunnel_via_read(a->via, a->via_token, a->via_ca, &child.via, reterr);

        if (r >= 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                r = -errno;
        if (r >= 0) {
                child.fd = fds[1];
                child.parent_fd = fds[0];
                r = process_fork(child_main, &child, &v->process);
                (void) close(fds[1]);
                v->fd = fds[0];
                if (r < 0)
                        r = error_set(reterr, r, "cannot start the process that connects to the relay: %s",
                                        strerror(-r));
        }
        tunnel_via_done(&child.via);
        return r;
}

int attestd_via_begin(const AttestdVia *v, const char *address) {
        if (v->fd < 0)
                return 0;
        return send(v->fd, address, strlen(address), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void attestd_via_done(AttestdVia *v) {
        v->fd = fd_close(v->fd);
        process_done(&v->process);
}
