/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* No client, whatever it does, is waited for or disturbs another; and descriptors are neither lost nor kept. */

#include "varlink-world.h"

/* A call goes on without its client, and counts as long as it does. */
static void left(void **state) {
        World *w = *state;
        int c;

        for (unsigned i = 0; i < VARLINK_CLIENTS_MAX; i++) {
                c = client(w);
                say(c, i % 2 ? "{\"method\":\"t.x.Later\"}" : "{\"method\":\"t.x.Later\",\"oneway\":true}");
                turn(w);
                (void) close(c);
                turn(w);
        }
        assert_int_equal(w->n_kept, VARLINK_CLIENTS_MAX);
        assert_int_equal(varlink_server_n_clients(w->server), VARLINK_CLIENTS_MAX);
        int fds[2];
        assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
        assert_error(varlink_server_add_client(w->server, fds[1]), EUSERS);
        expect(w, fds[0], ".");
        (void) close(fds[0]);
        for (size_t i = 0; i < w->n_kept; i++)
                varlink_reply(w->kept[i], NULL);
        w->n_kept = 0;
        turn(w);
        assert_int_equal(varlink_server_n_clients(w->server), 0);
}

/* A message that was sent before its client left is a message. */
static void sent_and_left(void **state) {
        World *w = *state;
        int c = client(w);

        say(c, "{\"method\":\"t.x.Later\",\"oneway\":true}");
        (void) close(c);
        turn(w);
        assert_int_equal(w->n_kept, 1);
        varlink_reply(w->kept[0], NULL);
        c = client(w);
        say(c, "{\"method\":\"t.x.Later\"}");
        assert_ok(shutdown(c, SHUT_WR));
        turn(w);
        assert_int_equal(w->n_kept, 2);
        varlink_reply(w->kept[1], NULL);
        w->n_kept = 0;
        expect(w, c, "{\"parameters\":{}}|.");
        (void) close(c);
        assert_int_equal(varlink_server_n_clients(w->server), 0);
}

static void crowd(void **state) {
        World *w = *state;
        int c[VARLINK_CLIENTS_MAX], extra;

        for (unsigned i = 0; i < VARLINK_CLIENTS_MAX; i++)
                c[i] = client(w);
        say(c[0], "{\"method\":\"t.x.Later\"}");
        assert_int_equal(send(c[1], "{", 1, 0), 1);
        turn(w);
        extra = client(w);
        expect(w, c[2], "."); /* silent for longest */
        expect(w, c[0], "");
        expect(w, c[1], "");
        say(extra, "{\"method\":\"t.x.Echo\"}");
        expect(w, extra, "{\"parameters\":{}}|");
        (void) close(extra);
        for (unsigned i = 0; i < 100; i++)
                (void) close(client(w));
        turn(w);
        varlink_reply(w->kept[0], NULL);
        w->n_kept = 0;
        expect(w, c[0], "{\"parameters\":{}}|");
        for (unsigned i = 0; i < VARLINK_CLIENTS_MAX; i++)
                (void) close(c[i]);
        turn(w);
        assert_int_equal(varlink_server_n_clients(w->server), 0);
}

static void too_long(void **state) {
        _cleanup_free_ char *text = malloc(VARLINK_MESSAGE_MAX + 1);
        World *w = *state;
        int c = client(w);
        size_t done = 0;

        assert_non_null(text);
        memset(text, ' ', VARLINK_MESSAGE_MAX + 1);
        while (done < VARLINK_MESSAGE_MAX + 1 && varlink_server_n_clients(w->server) > 0) {
                ssize_t n = send(c, text + done, VARLINK_MESSAGE_MAX + 1 - done, MSG_NOSIGNAL);

                if (n > 0)
                        done += (size_t) n;
                turn(w);
        }
        expect(w, c, ".");
        (void) close(c);
}

static void send_fds(int to, const char *text, size_t size, const int *fds, size_t n_fds) {
        char control[CMSG_SPACE(16 * sizeof(int))] = {};
        struct iovec iov = { .iov_base = (char *) text, .iov_len = size };
        struct msghdr msg = { .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control,
                .msg_controllen = CMSG_SPACE(n_fds * sizeof(int)) };
        struct cmsghdr *h = CMSG_FIRSTHDR(&msg);

        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(h), fds, n_fds * sizeof(int));
        assert_int_equal(sendmsg(to, &msg, MSG_NOSIGNAL), (ssize_t) size);
}

static size_t count_fds(void) {
        size_t n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

static void descriptors(void **state) {
        static const char size_of[] = "{\"method\":\"t.x.Size\"}", echo[] = "{\"method\":\"t.x.Echo\"}",
                          two[] = "{\"method\":\"t.x.Echo\"}\0{\"method\":\"t.x.Size\"}";
        World *w = *state;
        int file = memfd_new("test"), c = client(w), many[8];
        size_t before = count_fds();

        assert_true(file >= 0);
        assert_ok(ftruncate(file, 77));
        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                many[i] = file;
        send_fds(c, size_of, sizeof(size_of), &file, 1);
        expect(w, c, "{\"parameters\":{\"size\":77}}|");
        /* What nobody takes is closed. */
        send_fds(c, echo, sizeof(echo), &file, 1);
        expect(w, c, "{\"parameters\":{}}|");
        assert_int_equal(count_fds(), before);
        /* To which of the two would it belong? */
        send_fds(c, two, sizeof(two), &file, 1);
        expect(w, c, ".");
        (void) close(c);
        c = client(w);
        send_fds(c, echo, sizeof(echo), many, ELEMENTSOF(many));
        expect(w, c, ".");
        (void) close(c);
        (void) close(file);
        assert_int_equal(count_fds(), before - 3); /* c with its other end, file */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                T(left),
                T(sent_and_left),
                T(crowd),
                T(too_long),
                T(descriptors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
