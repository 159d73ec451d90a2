/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-login.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "run-check.h"
#include "strutil.h"

#define KEYGEN_USEC (UINT64_C(60) * 1000000) /* rsa on a busy machine */
#define WORDS_MAX   4096u

static int run_keygen(char *program, char *type, char *file, char *comment, char **reterr) {
        char *const argv[] = { program, (char *) "-q", (char *) "-t", type, (char *) "-N", (char *) "",
                (char *) "-C", comment, (char *) "-f", file, NULL };
        _cleanup_(process_done) Process p = PROCESS_NONE;
        _cleanup_close_ int words = memfd_new("cvmspawn-keygen");
        _cleanup_free_ char *text = NULL;
        siginfo_t si;
        int r;

        if (words < 0)
                return words;
        r = process_spawn(
                        &(const ProcessSpec) {
                                        .file = program,
                                        .argv = argv,
                                        .stdin_fd = -EBADF,
                                        .stdout_fd = -EBADF,
                                        .stderr_fd = words,
                                        .own_group = true,
                        },
                        &p, reterr);
        if (r >= 0)
                r = process_wait(&p, KEYGEN_USEC, &si);
        if (r < 0)
                return r == -ETIMEDOUT ? error_set(reterr, r, "'%s' did not end within a minute", program)
                                       : r;
        if (si.si_code == CLD_EXITED && si.si_status == 0)
                return 0;
        if (lseek(words, 0, SEEK_SET) < 0 || fd_read_all(words, WORDS_MAX, &text, NULL) < 0)
                text = NULL;
        return error_set(reterr, -EIO, "'%s' failed: %.*s", program, text ? (int) strcspn(text, "\n") : 0,
                        text ?: "");
}

/* Mode 0600 in a directory of mode 0700: ssh-keygen and ssh insist on it, and so do we. */
static int generate(const VmConfig *config, char *program, Login *l, char **reterr) {
        _cleanup_free_ char *type = strdup(config->ssh_key_type ?: "ed25519");
        _cleanup_free_ char *comment = strdup(config->machine ?: "cvm");
        int r;

        if (!type || !comment)
                return -ENOMEM;
        if (asprintf(&l->key, "%s/%s", l->directory.path, type) < 0) {
                l->key = NULL;
                return -ENOMEM;
        }
        if (asprintf(&l->public, "%s.pub", l->key) < 0) {
                l->public = NULL;
                return -ENOMEM;
        }
        r = run_keygen(program, type, l->key, comment, reterr);
        return r < 0 ? error_prefix(reterr, r, "--pass-ssh-key") : 0;
}

/* Is there a program that makes keys? Where nobody asked for one, the guest starts without. */
static int find_keygen(const VmConfig *config, LaunchChoices *choices, char **ret, char **reterr) {
        int r = choices->ssh_key ? process_find_program("ssh-keygen", ret) : 0;

        if (r < 0 || !choices->ssh_key || *ret)
                return r;
        if (config->pass_ssh_key == TRISTATE_YES)
                return error_set(reterr, -ENOENT,
                                "--pass-ssh-key=yes: ssh-keygen was not found in PATH: install openssh-client, or pass an existing public key, --pass-ssh-key=FILE");
        log_notice("no ssh key for the guest: ssh-keygen was not found in PATH (install openssh-client)");
        choices->ssh_key = false;
        return 0;
}

int login_check(const VmConfig *config, const LaunchChoices *choices, char **reterr) {
        _cleanup_free_ char *program = NULL;

        return choices->ssh_key && config->pass_ssh_key == TRISTATE_YES
                        ? find_keygen(config, &(LaunchChoices) { .ssh_key = true }, &program, reterr)
                        : 0;
}

/* "tcp:ADDRESS:PORT-:22" of --publish= */
static int published_address(const VmConfig *config, Login *l) {
        STRV_FOREACH(p, config->publish) {
                const char *address = startswith(*p, "tcp:"), *colon, *end;
                char digits[8] = {};

                end = address ? strstr(address, "-:22") : NULL;
                colon = end ? memrchr(address, ':', (size_t) (end - address)) : NULL;
                if (!colon || end[4] || (size_t) (end - colon) > sizeof(digits))
                        continue;
                memcpy(digits, colon + 1, (size_t) (end - colon - 1));
                if (parse_unsigned(digits, &l->tcp_port) < 0)
                        continue;
                l->address = strndup(address, (size_t) (colon - address));
                return l->address ? 0 : -ENOMEM;
        }
        return 0;
}

static int find_address(const VmConfig *config, const LaunchChoices *choices, Login *l) {
        int r = 0;

        if (choices->vsock == VSOCK_NO)
                return published_address(config, l);
        if (choices->vsock == VSOCK_USER)
                r = asprintf(&l->address, "vsock-mux%s/vsock/mux", l->directory.path);
        else
                r = asprintf(&l->address, "vsock/%u", choices->vsock_cid);
        if (r < 0)
                l->address = NULL;
        return r < 0 ? -ENOMEM : 0;
}

/* The device's program runs as QEMU's user, and keeps its sockets where that one may. */
static int make_socket_directory(const QemuUser *user, Login *l) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/vsock", l->directory.path) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (mkdir(path, 0700) < 0 || (user->change && chown(path, user->uid, user->gid) < 0))
                return -errno;
        l->sockets = fd_open(path, O_PATH | O_DIRECTORY, 0);
        return MIN(l->sockets, 0);
}

int login_start(const VmConfig *config, const QemuUser *user, LaunchChoices *choices, Login *ret,
                char **reterr) {
        _cleanup_free_ char *keygen = NULL;
        const bool user_mode = choices->vsock == VSOCK_USER;
        int r;

        r = find_keygen(config, choices, &keygen, reterr);
        if (r >= 0 && (choices->ssh_key || user_mode))
                r = runtime_dir_make(config->machine, &ret->directory, reterr);
        if (r >= 0 && choices->ssh_key)
                r = generate(config, keygen, ret, reterr);
        if (r >= 0 && user_mode)
                r = make_socket_directory(user, ret);
        if (r >= 0 && choices->vsock == VSOCK_YES)
                r = vsock_reserve(config, choices, reterr);
        if (r >= 0 && choices->vsock_notify)
                r = vsock_listen(choices, ret, reterr);
        if (r >= 0 && config->forward_journal)
                r = vsock_listen_journal(config, choices, ret, reterr);
        return r < 0 ? r : find_address(config, choices, ret);
}

void login_done(Login *l) {
        (void) fd_close(l->listener);
        (void) fd_close(l->journal);
        (void) fd_close(l->sockets);
        runtime_dir_done(&l->directory);
        free(l->key);
        free(l->public);
        free(l->address);
        *l = LOGIN_NONE;
}

void login_announce(const Login *l, const LaunchChoices *choices, const EventSink *events) {
        char port[24] = "";
        Json *data = NULL;

        if (!l->address || (!l->key && choices->vsock == VSOCK_NO))
                return;
        if (l->tcp_port > 0)
                (void) snprintf(port, sizeof(port), " -p %u", l->tcp_port);
        if (js_build(&data, "{s:s, s:s?, s:o, s:o}", "ssh", l->address, "key", l->key, "cid",
                            choices->vsock == VSOCK_NO ? js_null() : js_u64(choices->vsock_cid), "port",
                            l->tcp_port > 0 ? js_u64(l->tcp_port) : js_null()) >= 0)
                event_emit(events, "login", data);
        if (l->key)
                log_notice("log in with: ssh -i %s%s root@%s", l->key, port, l->address);
}
