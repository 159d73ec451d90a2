/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A varlink service with a method of each kind, and what its clients do and see. */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "strutil.h"
#include "varlink-connection.h"
#include "varlink.h"

#define KEPT_MAX 64u

typedef struct World {
        Loop *loop;
        VarlinkServer *server;
        VarlinkCall *kept[KEPT_MAX];
        size_t n_kept;
} World;

static void on_echo(VarlinkCall *call, const Json *parameters, _unused_ void *userdata) {
        varlink_reply(call, js_ref((Json *) parameters));
}

static void on_later(VarlinkCall *call, _unused_ const Json *parameters, void *userdata) {
        World *w = userdata;

        assert_true(w->n_kept < KEPT_MAX);
        w->kept[w->n_kept++] = call;
}

static void on_watch(VarlinkCall *call, const Json *parameters, _unused_ void *userdata) {
        const Json *filter = js_get(parameters, "filter");
        char **topics = NULL;
        Json *first = NULL;

        for (size_t i = 0; i < js_length(filter); i++)
                assert_ok(strv_push(&topics, js_string_value(js_at(filter, i))));
        assert_ok(js_build(&first, "{s:s}", "event", "READY"));
        varlink_subscribe(call, topics, first);
}

static inline void on_size(VarlinkCall *call, _unused_ const Json *parameters, _unused_ void *userdata) {
        _cleanup_close_ int fd = varlink_call_take_fd(call, 0);
        Json *j = NULL;

        if (fd < 0) {
                varlink_error_errno(call, EBADF);
                return;
        }
        assert_error(varlink_call_take_fd(call, 1), EBADF);
        assert_ok(js_build(&j, "{s:I}", "size", (long long) lseek(fd, 0, SEEK_END)));
        varlink_reply(call, j);
}

static const VarlinkMethod methods[] = {
        { .name = "Echo", .handler = on_echo, .parameters = { "a", "b" } },
        { .name = "Later", .handler = on_later },
        { .name = "Watch", .handler = on_watch, .more = true, .parameters = { "filter" } },
        { .name = "Size", .handler = on_size },
};

static const VarlinkInterface interfaces[] = {
        { "t.x", "interface t.x\n", methods, ELEMENTSOF(methods) },
        { "t.empty", "interface t.empty\n", NULL, 0 },
};

static const VarlinkService service = { "us", "a test", "1", "https://example.com", interfaces,
        ELEMENTSOF(interfaces) };

static int set_up(void **state) {
        World *w = calloc(1, sizeof(*w));

        assert_non_null(w);
        assert_ok(loop_new(&w->loop));
        assert_ok(varlink_server_new(w->loop, &service, w, &w->server));
        *state = w;
        return 0;
}

static int tear_down(void **state) {
        World *w = *state;

        for (size_t i = 0; i < w->n_kept; i++)
                varlink_reply(w->kept[i], NULL);
        varlink_server_unref(w->server);
        loop_unref(w->loop);
        free(w);
        return 0;
}

static void turn(World *w) {
        for (unsigned i = 0; i < 10000 && loop_once(w->loop, 0) > 0; i++)
                ;
        assert_int_equal(loop_once(w->loop, 0), 0); /* it comes to rest */
}

/* Our end of a new client. */
static int client(World *w) {
        int fds[2];

        assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
        assert_ok(varlink_server_add_client(w->server, fds[1]));
        return fds[0];
}

/* With the NUL. */
static void say(int fd, const char *text) {
        assert_int_equal(send(fd, text, strlen(text) + 1, MSG_NOSIGNAL), (ssize_t) strlen(text) + 1);
}

/* What has arrived, NUL bytes as '|'; the end of the connection as '.'. */
static void expect(World *w, int fd, const char *expected) {
        char text[8192];
        size_t size = 0;
        ssize_t n;

        turn(w);
        while ((n = recv(fd, text + size, sizeof(text) - 2 - size, MSG_DONTWAIT)) > 0)
                size += (size_t) n;
        for (size_t i = 0; i < size; i++)
                if (text[i] == 0)
                        text[i] = '|';
        if (n == 0 || (n < 0 && errno == ECONNRESET))
                text[size++] = '.';
        text[size] = 0;
        assert_string_equal(text, expected);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
