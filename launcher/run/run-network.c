/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The host's end of the guest's network: a tap interface as systemd-networkd's 80-vm-vt.network expects it, or passt on a socket. Neither needs QEMU
 * to have a privilege, and both end with it. */

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "run-check.h"
#include "run-session.h"
#include "strutil.h"

static_assert(TAP_NAME_SIZE == IFNAMSIZ, "a name that the kernel takes");

/* The interface is there as long as QEMU holds this descriptor. */
static int start_tap(const Session *s, char **reterr) {
        struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
        _cleanup_close_ int fd = fd_open("/dev/net/tun", O_RDWR, 0);
        int r;

        if (fd == -ENOENT || fd == -ENODEV || fd == -ENXIO)
                return error_set(reterr, fd,
                                "--network-tap: cannot open /dev/net/tun: %s: load the module ('modprobe tun')",
                                strerror(-fd));
        if (fd < 0)
                return error_set(reterr, fd, "--network-tap: cannot open /dev/net/tun: %s", strerror(-fd));
        vm_config_tap_name(s->request->config->machine, request.ifr_name);
        if (ioctl(fd, TUNSETIFF, &request) >= 0)
                return TAKE_FD(fd);
        r = -errno;
        if (r == -EPERM)
                return error_set(reterr, r,
                                "--network-tap: making '%s' needs CAP_NET_ADMIN: start as root, or use --network-user-mode",
                                request.ifr_name);
        if (r == -EBUSY)
                return error_set(reterr, r,
                                "--network-tap: '%s' exists already: another guest of this name runs; use another --machine=",
                                request.ifr_name);
        return error_set(reterr, r, "--network-tap: cannot make '%s': %s", request.ifr_name, strerror(-r));
}

/* "tcp:ADDRESS:PORT-:GUEST" as passt(1) has it: -t ADDRESS/PORT:GUEST. */
static int add_forward(char ***argv, const char *publish) {
        const char *address = publish + 4, *colon = strchr(address, ':'), *dash = strstr(address, "-:");

        if (!colon || !dash)
                return -EINVAL;
        if (strv_push(argv, *publish == 'u' ? "-u" : "-t") < 0)
                return -ENOMEM;
        return strv_pushf(argv, "%.*s/%.*s:%s", (int) (colon - address), address, (int) (dash - colon - 1),
                        colon + 1, dash + 2);
}

static int find_passt(char **ret, char **reterr) {
        int r = process_find_program("passt", ret);

        return r < 0 || *ret
                        ? r
                        : error_set(reterr, -ENOENT,
                                          "--network=passt: passt was not found in PATH: install passt, or use --network-user-mode");
}

int network_check(const VmConfig *config, char **reterr) {
        _cleanup_free_ char *program = NULL;

        return config->network == NETWORK_PASST ? find_passt(&program, reterr) : 0;
}

static int spawn_passt(Session *s, int fd, int words, char **reterr) {
        _cleanup_strv_free_ char **argv = NULL;
        char *program = NULL;
        int r = find_passt(&program, reterr);

        if (r >= 0)
                r = strv_consume(&argv, program);
        if (r >= 0)
                r = strv_push(&argv, "--foreground");
        if (r >= 0)
                r = strv_push(&argv, "--quiet");
        if (r >= 0)
                r = strv_pushf(&argv, "--fd=%d", fd);
        STRV_FOREACH(p, s->request->config->publish)
                if (r >= 0)
                        r = add_forward(&argv, *p);
        if (r < 0)
                return r;
        return process_spawn(
                        &(const ProcessSpec) {
                                        .file = argv[0],
                                        .argv = argv,
                                        .stdin_fd = -EBADF,
                                        .stdout_fd = -EBADF,
                                        .stderr_fd = words,
                                        .keep_fds = &fd,
                                        .n_keep_fds = 1,
                                        .own_group = true,
                        },
                        &s->passt.process, reterr);
}

static int on_passt_exit(_unused_ LoopSource *source, _unused_ const siginfo_t *si, void *userdata) {
        Session *s = userdata;
        _cleanup_free_ char *text = NULL;
        char *sentence;

        s->passt.gone = true;
        if (lseek(s->passt.words, 0, SEEK_SET) < 0 ||
                        fd_read_all(s->passt.words, PASST_WORDS_MAX, &text, NULL) < 0)
                text = NULL;
        if (asprintf(&sentence, "passt ended while the guest was running%s%.*s", text && *text ? ": " : "",
                            text ? (int) strcspn(text, "\n") : 0, text ?: "") < 0)
                sentence = NULL;
        return session_helper_left(s, sentence);
}

static int start_passt(Session *s, char **reterr) {
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        s->passt.words = memfd_new("cvmspawn-passt");
        if (s->passt.words < 0)
                return s->passt.words;
        r = spawn_passt(s, theirs, s->passt.words, reterr);
        if (r >= 0)
                r = loop_add_child(s->loop, s->passt.process.pidfd, on_passt_exit, s, &s->passt.source);
        return r < 0 ? r : TAKE_FD(ours);
}

int session_start_network(Session *s, char **reterr) {
        const NetworkMode mode = s->request->config->network;
        int r = session_start_vsock(s, reterr), fd;

        if (r < 0 || (mode != NETWORK_TAP && mode != NETWORK_PASST))
                return r;
        fd = mode == NETWORK_TAP ? start_tap(s, reterr) : start_passt(s, reterr);
        return fd < 0 ? fd : session_pass(s, fd, LAUNCH_FD_NETWORK);
}

void session_end_network(Session *s) {
        session_end_vsock(s);
        s->passt.source = loop_source_unref(s->passt.source);
        /* The loop reaped it after its handler. */
        if (s->passt.gone)
                process_forget(&s->passt.process);
        else
                process_done(&s->passt.process);
        s->passt.words = fd_close(s->passt.words);
}
