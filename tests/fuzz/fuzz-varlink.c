/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything a client can send to a varlink service, and what a service can send to its callers. What must hold for any input: the
 * service comes to rest, serves the next client, and what it answers can be read by its own caller. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"
#include "strutil.h"
#include "varlink-connection.h"
#include "varlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static VarlinkCall *kept;

static void on_echo(VarlinkCall *call, const Json *parameters, _unused_ void *userdata) {
        varlink_reply(call, js_ref((Json *) parameters));
}

static void on_later(VarlinkCall *call, _unused_ const Json *parameters, _unused_ void *userdata) {
        assert(!kept);
        kept = call;
}

static void on_watch(VarlinkCall *call, _unused_ const Json *parameters, _unused_ void *userdata) {
        varlink_subscribe(call, NULL, NULL);
}

static const VarlinkMethod methods[] = {
        { .name = "Echo", .handler = on_echo, .parameters = { "a" } },
        { .name = "Later", .handler = on_later },
        { .name = "Watch", .handler = on_watch, .more = true },
};
static const VarlinkInterface interface = { "t.x", "interface t.x\n", methods, ELEMENTSOF(methods) };
static const VarlinkService service = { "v", "p", "1", "u", &interface, 1 };

static void check(int r) {
        if (r < 0)
                abort();
}

static void turn(Loop *loop) {
        for (unsigned i = 0; loop_once(loop, 0) > 0 || kept; i++) {
                assert(i < 1000000);
                if (kept)
                        varlink_reply(TAKE_PTR(kept), NULL);
        }
}

static void read_replies(int fd) {
        VarlinkConnection c = { .fd = fd };
        VarlinkReply reply = {};

        while (varlink_connection_receive(&c, 0, &reply) >= 0)
                varlink_reply_done(&reply);
        c.fd = -EBADF;
        varlink_connection_done(&c);
}

static void fuzz_service(const uint8_t *data, size_t size) {
        _cleanup_(loop_unrefp) Loop *loop = NULL;
        _cleanup_(varlink_server_unrefp) VarlinkServer *server = NULL;
        _cleanup_close_ int peer = -EBADF;
        int fds[2];

        check(loop_new(&loop));
        check(varlink_server_new(loop, &service, NULL, &server));
        check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
        peer = fds[1];
        check(varlink_server_add_client(server, fds[0]));
        for (size_t done = 0; done < size && varlink_server_n_clients(server) > 0;) {
                ssize_t n = send(peer, data + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n > 0)
                        done += (size_t) n;
                else if (errno != EAGAIN)
                        break;
                turn(loop);
                varlink_publish(server, "x", NULL);
                read_replies(peer);
                if (n < 0)
                        break; /* it subscribed, and is not read any more */
        }
        peer = fd_close(peer);
        turn(loop);
        if (varlink_server_n_clients(server) != 0)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        VarlinkMessage m = {};
        VarlinkReply r = {};

        fuzz_service(data, size);
        if (varlink_message_parse((const char *) data, size, &m, NULL) >= 0)
                assert(m.method);
        varlink_message_done(&m);
        (void) !varlink_reply_parse((const char *) data, size, &r, NULL);
        varlink_reply_done(&r);
        return 0;
}
