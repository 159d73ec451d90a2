/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The clients of a service as a whole: who gets in, who has to leave, and what all of them are told. */

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "fd.h"
#include "strutil.h"
#include "varlink-internal.h"

int varlink_server_new(Loop *loop, const VarlinkService *service, void *userdata, VarlinkServer **ret) {
        VarlinkServer *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        *s = (VarlinkServer) {
                .loop = loop, .service = service, .userdata = userdata, .dispatch = varlink_dispatch
        };
        *ret = s;
        return 0;
}

VarlinkServer *varlink_server_unref(VarlinkServer *s) {
        if (!s)
                return NULL;
        loop_source_unref(s->source);
        while (s->clients)
                varlink_client_free(s->clients);
        free(s);
        return NULL;
}

size_t varlink_server_n_clients(const VarlinkServer *s) {
        return s->n_clients;
}

/* The one that may go: without a call in progress, and silent for the longest time. */
static VarlinkClient *longest_idle(const VarlinkServer *s) {
        VarlinkClient *found = NULL;

        for (VarlinkClient *c = s->clients; c; c = c->next)
                if (!c->busy && !c->subscribed && !c->dispatching && (!found || c->active < found->active))
                        found = c;
        return found;
}

int varlink_server_add_client(VarlinkServer *s, int fd) {
        VarlinkClient *c;
        int r;

        if (s->n_clients >= VARLINK_CLIENTS_MAX && (c = longest_idle(s)))
                varlink_client_drop(c);
        if (s->n_clients >= VARLINK_CLIENTS_MAX) {
                (void) fd_close(fd);
                return -EUSERS;
        }

        c = calloc(1, sizeof(*c));
        if (!c) {
                (void) fd_close(fd);
                return -ENOMEM;
        }
        c->server = s;
        c->fd = fd;
        c->next = s->clients;
        s->clients = c;
        s->n_clients++;
        c->in = malloc(VARLINK_MESSAGE_MAX);
        r = c->in ? varlink_client_watch(c) : -ENOMEM;
        if (r < 0)
                varlink_client_free(c);
        return r;
}

/* Whatever goes wrong with one client does not matter to the others. */
static int on_connection(_unused_ LoopSource *source, int fd, _unused_ uint32_t events, void *userdata) {
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (client >= 0)
                (void) !varlink_server_add_client(userdata, client);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                VarlinkServer *s = userdata;
                VarlinkClient *c = longest_idle(s);

                /* Room is made, so that the loop does not turn on and on for a client that cannot get in. */
                if (c)
                        varlink_client_drop(c);
                else
                        s->source = loop_source_unref(s->source);
        }
        return 0;
}

int varlink_server_listen(VarlinkServer *s, int fd) {
        return loop_add_io(s->loop, fd, EPOLLIN, on_connection, s, &s->source);
}

void varlink_subscribe(VarlinkCall *call, char **topics, Json *first) {
        strv_free(call->topics);
        call->topics = strv_length(topics) > 0 ? topics : strv_free(topics);
        /* Before the first answer: it may find that the client has left. */
        call->subscribed = call->fd >= 0;
        call->busy = false;
        if (call->fd < 0) {
                js_unref(first);
                if (!call->dispatching)
                        varlink_client_free(call);
                return;
        }

        _cleanup_js_ Json *j = first;
        char *text;
        size_t size;

        if (varlink_format_reply(NULL, j, /* continues= */ true, &text, &size) < 0)
                varlink_client_drop(call);
        else
                varlink_client_send(call, text, size);
}

void varlink_publish(VarlinkServer *s, const char *topic, const Json *parameters) {
        for (VarlinkClient *c = s->clients, *next; c; c = next) {
                char *text;
                size_t size;

                next = c->next;
                if (!c->subscribed || (c->topics && !strv_contains(c->topics, topic)))
                        continue;
                if (varlink_format_reply(NULL, parameters, /* continues= */ true, &text, &size) >= 0)
                        varlink_client_send(c, text, size);
        }
}
