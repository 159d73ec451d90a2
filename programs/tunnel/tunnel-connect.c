/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The owner's end as a program: for a service that cannot make the connection to the relay itself, such as a balancer before several instances.
 * It has no secret but the tunnel's token, and never listens. */

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "daemon.h"
#include "error.h"
#include "fd.h"
#include "log.h"
#include "loop.h"
#include "secret.h"
#include "tunnel-owner.h"
#include "tunnel-via.h"
#include "tunnel.h"

typedef struct Bridge {
        TunnelVia via;
        TunnelOwner *owner;
        LoopSource *signals[2];
        Loop *loop;
        int notify_fd; /* owned */
} Bridge;

static void bridge_done(Bridge *b) {
        tunnel_owner_free(b->owner);
        FOREACH_ARRAY(s, b->signals, ELEMENTSOF(b->signals))
                loop_source_unref(*s);
        loop_unref(b->loop);
        tunnel_via_done(&b->via);
        (void) fd_close(b->notify_fd);
}

static void on_told(_unused_ void *userdata, bool up, const char *text) {
        if (up)
                log_notice("%s", text);
        else
                log_warning("%s", text);
}

static int on_end(_unused_ LoopSource *s, _unused_ const struct signalfd_siginfo *si, void *userdata) {
        Bridge *b = userdata;

        daemon_notify(b->notify_fd, "STOPPING=1");
        return loop_exit(b->loop, 0);
}

int tunnel_connect(const TunnelArgs *a, char **reterr) {
        _cleanup_(bridge_done) Bridge b = { .notify_fd = -EBADF };
        TunnelOwnerSettings settings = { .proxy_header = a->proxy_protocol, .told = on_told };
        int r = tunnel_address_parse(a->to, &settings.service);

        if (r < 0)
                return error_set(reterr, r,
                                "--to: expected a numeric ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH, not '%s'",
                                a->to);
        secret_forbid_core();
        (void) signal(SIGPIPE, SIG_IGN);
        r = tunnel_via_read(a->via, a->via_token, a->via_ca, &b.via, reterr);
        if (r < 0)
                return r;
        settings.relay = b.via.relay;
        settings.tls = b.via.tls;
        b.notify_fd = daemon_notify_open();
        r = loop_new(&b.loop);
        if (r >= 0)
                r = loop_add_signal(b.loop, SIGTERM, on_end, &b, &b.signals[0]);
        if (r >= 0)
                r = loop_add_signal(b.loop, SIGINT, on_end, &b, &b.signals[1]);
        if (r >= 0)
                r = tunnel_owner_new(b.loop, &settings, b.via.token, &b.owner);
        erase_memory(b.via.token, sizeof(b.via.token));
        if (r >= 0)
                r = daemon_confine_forwarder(reterr);
        if (r < 0)
                return r;
        log_notice("connecting to the relay '%s', for the service at %s", b.via.relay.host, a->to);
        daemon_notify(b.notify_fd, "READY=1");
        return loop_run(b.loop);
}
