/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The vsock device: by the kernel (/dev/vhost-vsock, linux/vhost.h), or by the program vhost-device-vsock on a Unix socket; and the socket
 * where the guest's systemd reports (its docs/VM_INTERFACE.md: one connection, one message). */

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "error.h"
#include "fd.h"
#include "run-check.h"
#include "run-session.h"
#include "strutil.h"

#define CID_ATTEMPTS 64u
#define NOTIFY_PORT  9999u /* on a Unix socket nobody else has it; "mux_9999" below */
#define START_USEC   (UINT64_C(20) * 1000000)
#define STEP_MSEC    5
#define MESSAGE_MAX  4096u

static int set_cid(const LaunchChoices *choices, uint32_t cid) {
        int fd = choices->vsock_fd > 0 ? fcntl(choices->vsock_fd, F_DUPFD_CLOEXEC, 3)
                                       : fd_open("/dev/vhost-vsock", O_RDWR, 0),
            r;
        uint64_t v = cid;

        if (fd < 0)
                return fd;
        if (ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &v) < 0) {
                r = -errno;
                (void) fd_close(fd);
                return r;
        }
        return fd;
}

static int refuse_cid(int r, uint32_t cid, char **reterr) {
        return r == -EADDRINUSE
                        ? error_set(reterr, r,
                                          "vsock address %u is in use by another guest: use another --vsock-cid= or another --machine=",
                                          cid)
                        : error_set(reterr, r, "cannot set up /dev/vhost-vsock for address %u: %s", cid,
                                          strerror(-r));
}

int vsock_reserve(const VmConfig *config, LaunchChoices *choices, char **reterr) {
        int fd = -EADDRINUSE;

        for (uint32_t i = 0; i < CID_ATTEMPTS && fd == -EADDRINUSE; i++) {
                if (config->vsock_cid == 0)
                        choices->vsock_cid = vm_config_cid(config->machine, i);
                fd = set_cid(choices, choices->vsock_cid);
                if (config->vsock_cid > 0)
                        break;
        }
        if (fd < 0)
                return refuse_cid(fd, choices->vsock_cid, reterr);
        /* Taken again by each QEMU that is started. */
        (void) fd_close(fd);
        return 0;
}

/* Below the open directory: QEMU's user need not be able to reach it, and a socket's path has 107 bytes at most. */
static struct sockaddr_un unix_address(const Login *l, const char *name) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", l->sockets, name);
        return address;
}

static int listen_unix(const Login *l, int fd, uint32_t port, char **reterr) {
        struct sockaddr_un address;
        char name[32];

        (void) snprintf(name, sizeof(name), "mux_%u", port);
        address = unix_address(l, name);
        /* Only those who may enter the directory can reach it. */
        if (bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ||
                        chmod(address.sun_path, 0666) < 0)
                return error_set(reterr, -errno, "cannot listen on '%s': %m", address.sun_path);
        return 0;
}

static int listen_vsock(int fd, uint32_t *port, char **reterr) {
        struct sockaddr_vm address = {
                .svm_family = AF_VSOCK,
                .svm_cid = VMADDR_CID_ANY,
                .svm_port = *port,
        };
        socklen_t size = sizeof(address);

        if (bind(fd, (const struct sockaddr *) &address, size) < 0 ||
                        getsockname(fd, (struct sockaddr *) &address, &size) < 0)
                return error_set(reterr, -errno, "cannot listen for the guest on vsock port %u: %m", *port);
        *port = address.svm_port;
        return 0;
}

/* Of the kernel's vsock; of a Unix socket, where nobody else has a port, VMADDR_PORT_ANY is NOTIFY_PORT. */
static int listen_on(
                const LaunchChoices *choices, const Login *l, uint32_t *port, bool blocking, char **reterr) {
        const bool user = choices->vsock == VSOCK_USER;
        _cleanup_close_ int fd = socket(user ? AF_UNIX : AF_VSOCK,
                        SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
        int r;

        if (fd < 0)
                return error_set(reterr, -errno, "cannot make a socket for the guest: %m");
        if (user && *port == VMADDR_PORT_ANY)
                *port = NOTIFY_PORT;
        r = user ? listen_unix(l, fd, *port, reterr) : listen_vsock(fd, port, reterr);
        if (r >= 0 && listen(fd, VSOCK_PEERS_MAX) < 0)
                r = -errno;
        return r < 0 ? r : TAKE_FD(fd);
}

int vsock_listen(const LaunchChoices *choices, Login *l, char **reterr) {
        l->notify_port = VMADDR_PORT_ANY;
        l->listener = listen_on(choices, l, &l->notify_port, /* blocking= */ false, reterr);
        return MIN(l->listener, 0);
}

/* As with systemd-vmspawn the port has the guest's address, which no other guest has; under --coco= the one that follows from its name. */
int vsock_listen_journal(const VmConfig *config, const LaunchChoices *choices, Login *l, char **reterr) {
        l->journal_port =
                        vm_config_confidential(config) ? vm_config_journal_port(config) : choices->vsock_cid;
        l->journal = listen_on(choices, l, &l->journal_port, /* blocking= */ true, reterr);
        return MIN(l->journal, 0);
}

/* --- the device ------------------------------------------------------------------------------------------------------ */

static int become_user(void *userdata) {
        QemuUser user = *(const QemuUser *) userdata;

        user.devices = false;
        return run_become_qemu(&user);
}

static int find_helper(char **ret, char **reterr) {
        int r = process_find_program("vhost-device-vsock", ret);

        return r < 0 || *ret
                        ? r
                        : error_set(reterr, -ENOENT,
                                          "--vsock=user: vhost-device-vsock was not found in PATH: install the package of that name (Debian sid has it), or use --vsock=yes with the kernel's module vhost_vsock");
}

int vsock_check(const LaunchChoices *choices, char **reterr) {
        _cleanup_free_ char *program = NULL;

        return choices->vsock == VSOCK_USER ? find_helper(&program, reterr) : 0;
}

static int spawn_helper(Session *s, const char *socket_path, const char *mux, int words, char **reterr) {
        _cleanup_free_ char *program = NULL, *vm = NULL;
        int r = find_helper(&program, reterr);

        if (r < 0)
                return r;
        if (asprintf(&vm, "guest-cid=%u,socket=%s,uds-path=%s", s->request->choices->vsock_cid, socket_path,
                            mux) < 0) {
                vm = NULL;
                return -ENOMEM;
        }
        char *const argv[] = { program, (char *) "--vm", vm, NULL };
        const int directory = s->request->login->sockets;

        return process_spawn(
                        &(const ProcessSpec) {
                                        .file = program,
                                        .argv = argv,
                                        .stdin_fd = -EBADF,
                                        .stdout_fd = -EBADF,
                                        .stderr_fd = words,
                                        .keep_fds = &directory,
                                        .n_keep_fds = 1,
                                        .own_group = true,
                                        .prepare = become_user,
                                        .userdata = (void *) s->request->user,
                        },
                        &s->vsock.helper, reterr);
}

/* It says nothing when it is ready; its socket does. */
static int connect_helper(Session *s, const struct sockaddr_un *address, int words, char **reterr) {
        struct pollfd ended = { .fd = s->vsock.helper.pidfd, .events = POLLIN };
        const uint64_t deadline = monotonic_usec() + START_USEC;
        _cleanup_free_ char *text = NULL;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = 0;

        if (fd < 0)
                return -errno;
        while (connect(fd, (const struct sockaddr *) address, sizeof(*address)) < 0) {
                r = errno == ENOENT || errno == ECONNREFUSED ? 0 : -errno;
                if (r < 0 || monotonic_usec() > deadline || poll(&ended, 1, STEP_MSEC) != 0) {
                        (void) fd_close(fd);
                        if (lseek(words, 0, SEEK_SET) < 0 ||
                                        fd_read_all(words, MESSAGE_MAX, &text, NULL) < 0)
                                text = NULL;
                        return error_set(reterr, r < 0 ? r : -ETIMEDOUT,
                                        "--vsock=user: vhost-device-vsock does not answer: %.*s",
                                        text ? (int) strcspn(text, "\n") : 0, text ?: "");
                }
        }
        return fd;
}

static int start_helper(Session *s, char **reterr) {
        _cleanup_close_ int words = memfd_new("cvmspawn-vsock");
        const struct sockaddr_un device = unix_address(s->request->login, "device");
        const struct sockaddr_un mux = unix_address(s->request->login, "mux");
        int r;

        if (words < 0)
                return words;
        /* What an attempt before this one left. */
        (void) unlink(device.sun_path);
        (void) unlink(mux.sun_path);
        r = spawn_helper(s, device.sun_path, mux.sun_path, words, reterr);
        return r < 0 ? r : connect_helper(s, &device, words, reterr);
}

static int on_helper_exit(_unused_ LoopSource *source, _unused_ const siginfo_t *si, void *userdata) {
        Session *s = userdata;

        s->vsock.helper_gone = true;
        return session_helper_left(s, strdup("vhost-device-vsock ended while the guest was running"));
}

/* --- reports --------------------------------------------------------------------------------------------------------- */

static void peer_done(VsockPeer *p) {
        p->source = loop_source_unref(p->source);
        (void) fd_close(p->fd);
        free(p->lines);
        *p = (VsockPeer) { .fd = -EBADF };
}

static void on_line(char *line, void *userdata) {
        session_notify_line(line, userdata);
}

static int on_report(_unused_ LoopSource *source, int fd, _unused_ uint32_t events, void *userdata) {
        VsockPeer *p = userdata;
        char data[1024];
        ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0 && (p->size += (size_t) n) <= MESSAGE_MAX) {
                line_reader_feed(p->lines, data, (size_t) n, on_line, p->session);
                return 0;
        }
        if (n == 0)
                line_reader_end(p->lines, on_line, p->session);
        peer_done(p);
        return 0;
}

/* Other guests and programs of this host can find the port, too. */
static bool from_guest(const Session *s, const struct sockaddr_storage *peer) {
        const struct sockaddr_vm *vm = (const struct sockaddr_vm *) peer;

        return peer->ss_family != AF_VSOCK || vm->svm_cid == s->request->choices->vsock_cid;
}

static int on_connect(_unused_ LoopSource *source, int fd, _unused_ uint32_t events, void *userdata) {
        struct sockaddr_storage peer = {};
        socklen_t size = sizeof(peer);
        Session *s = userdata;
        VsockPeer *p = NULL;
        int c = accept4(fd, (struct sockaddr *) &peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (c < 0)
                return 0;
        FOREACH_ARRAY(i, s->vsock.peers, VSOCK_PEERS_MAX)
                if (!i->session)
                        p = i;
        if (!p || !from_guest(s, &peer)) {
                (void) fd_close(c);
                return 0;
        }
        *p = (VsockPeer) { .session = s, .fd = c, .lines = calloc(1, sizeof(LineReader)) };
        if (!p->lines || loop_add_io(s->loop, c, POLLIN, on_report, p, &p->source) < 0)
                peer_done(p);
        return 0;
}

int session_start_vsock(Session *s, char **reterr) {
        const LaunchChoices *choices = s->request->choices;
        int fd, r;

        if (choices->vsock == VSOCK_NO)
                return 0;
        fd = choices->vsock == VSOCK_USER ? start_helper(s, reterr) : set_cid(choices, choices->vsock_cid);
        if (fd < 0)
                return choices->vsock == VSOCK_USER ? fd : refuse_cid(fd, choices->vsock_cid, reterr);
        r = session_pass(s, fd, LAUNCH_FD_VSOCK);
        if (r >= 0 && choices->vsock == VSOCK_USER)
                r = loop_add_child(
                                s->loop, s->vsock.helper.pidfd, on_helper_exit, s, &s->vsock.helper_source);
        if (r >= 0 && choices->vsock_notify)
                r = loop_add_io(s->loop, s->request->login->listener, POLLIN, on_connect, s,
                                &s->vsock.listener_source);
        return r;
}

void session_end_vsock(Session *s) {
        s->vsock.listener_source = loop_source_unref(s->vsock.listener_source);
        s->vsock.helper_source = loop_source_unref(s->vsock.helper_source);
        FOREACH_ARRAY(p, s->vsock.peers, VSOCK_PEERS_MAX)
                if (p->session)
                        peer_done(p);
        /* The loop reaped it after its handler. */
        if (s->vsock.helper_gone)
                process_forget(&s->vsock.helper);
        else
                process_done(&s->vsock.helper);
}
