/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest's journal on the host: systemd-journal-remote, which writes what the guest's journald sends through vsock (journal.forward_to_socket,
 * systemd.system-credentials(7)). It gets our listening socket as a service manager passes one, sd_listen_fds(3), so that the guest can connect from
 * its first moment on, and nothing is left of it. What it reads is the guest's: it has no privilege but to write where root may. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine.h"
#include "error.h"
#include "fd.h"
#include "file-check.h"
#include "log.h"
#include "run-check.h"
#include "run-programs.h"
#include "run-session.h"
#include "strutil.h"

#define FIRST_FD  3 /* SD_LISTEN_FDS_START */
#define WORDS_MAX 4096u
#define LAST_USEC UINT64_C(300000) /* for what is on its way when the guest has ended */

static const char *const kept[] = { "cap_dac_override" };

typedef struct Handover {
        int fd;
        char pid[32]; /* "LISTEN_PID=", completed by the child */
} Handover;

/* The child's descriptors are closed on exec by now, and 3 is not one of process_spawn()'s: start() saw to that. */
static int prepare(void *userdata) {
        Handover *h = userdata;
        int r;

        (void) snprintf(h->pid, sizeof(h->pid), "LISTEN_PID=%d", (int) getpid());
        if (h->fd == FIRST_FD ? fcntl(FIRST_FD, F_SETFD, 0) < 0 : dup2(h->fd, FIRST_FD) < 0)
                return -errno;
        r = confine_no_new_privileges();
        return r < 0 ? r : confine_capabilities(kept, geteuid() == 0 ? ELEMENTSOF(kept) : 0);
}

static int find_program(char **ret, char **reterr) {
        static const char *const places[] = { "/usr/lib/systemd/systemd-journal-remote",
                "/lib/systemd/systemd-journal-remote" };
        int r = process_find_program("systemd-journal-remote", ret);

        for (size_t i = 0; i < ELEMENTSOF(places) && r >= 0 && !*ret; i++)
                if (access(places[i], X_OK) >= 0) {
                        *ret = strdup(places[i]);
                        r = *ret ? 0 : -ENOMEM;
                }
        if (r < 0 || *ret)
                return r;
        return error_set(reterr, -ENOENT,
                        "--forward-journal: systemd-journal-remote was not found in PATH and /usr/lib/systemd: install the package systemd-journal-remote");
}

static int push_limit(char ***argv, const char *name, uint64_t value) {
        return value == 0 ? 0 : strv_pushf(argv, "--%s=%llu", name, (unsigned long long) value);
}

/* As systemd-vmspawn has them. */
static int build_argv(const VmConfig *c, char *program, char ***argv, char **reterr) {
        _cleanup_free_ char *help = NULL;
        int r = strv_push(argv, program);

        if (r >= 0)
                r = strv_pushf(argv, "--output=%s", c->forward_journal);
        if (r >= 0)
                r = strv_pushf(argv, "--split-mode=%s", vm_config_journal_is_file(c) ? "none" : "host");
        if (r >= 0)
                r = push_limit(argv, "max-use", c->journal_max_use);
        if (r >= 0)
                r = push_limit(argv, "keep-free", c->journal_keep_free);
        if (r >= 0)
                r = push_limit(argv, "max-file-size", c->journal_max_file_size);
        if (r >= 0)
                r = push_limit(argv, "max-files", c->journal_max_files);
        if (r < 0 || strv_length(*argv) == 3)
                return r;
        r = run_ask(program, "--help", &help, reterr);
        if (r < 0 || strstr(help, "--max-use="))
                return r;
        return error_set(reterr, -EOPNOTSUPP,
                        "--forward-journal: '%s' has no limits of use: remove --forward-journal-max-use= and the like, or install systemd 262 or later",
                        program);
}

static int build_env(Handover *h, char ***ret) {
        static const char *const replaced[] = { "LISTEN_", "SYSTEMD_JOURNAL_REMOTE_CONFIG_FILE=" };
        _cleanup_strv_free_ char **env = NULL;
        int r = 0;

        STRV_FOREACH(e, environ) {
                bool keep = true;

                for (size_t i = 0; i < ELEMENTSOF(replaced); i++)
                        keep = keep && !startswith(*e, replaced[i]);
                if (keep && r >= 0)
                        r = strv_push(&env, *e);
        }
        if (r >= 0)
                r = strv_push(&env, "SYSTEMD_JOURNAL_REMOTE_CONFIG_FILE=/dev/null");
        if (r >= 0)
                r = strv_push(&env, "LISTEN_FDS=1");
        /* The last one is the child's to write. */
        if (r >= 0)
                r = strv_push(&env, "LISTEN_PID=");
        if (r < 0)
                return r;
        free(env[strv_length(env) - 1]);
        env[strv_length(env) - 1] = h->pid;
        *ret = TAKE_PTR(env);
        return 0;
}

static void free_env(char **env) {
        size_t n = strv_length(env);

        if (n > 0)
                env[n - 1] = NULL;
        strv_free(env);
}

/* Its last line, which says what is wrong. */
static char *last_words(const Session *s) {
        _cleanup_free_ char *text = NULL;
        char *line;

        if (lseek(s->journal.words, 0, SEEK_SET) < 0 ||
                        fd_read_all(s->journal.words, WORDS_MAX, &text, NULL) < 0)
                return NULL;
        for (size_t n = strlen(text); n > 0 && text[n - 1] == '\n'; n--)
                text[n - 1] = 0;
        line = strrchr(text, '\n');
        line = strdup(line ? line + 1 : text);
        text_flatten(line, 200);
        return line;
}

/* The guest runs without it, too. */
static int on_exit_status(_unused_ LoopSource *source, _unused_ const siginfo_t *si, void *userdata) {
        Session *s = userdata;
        _cleanup_free_ char *words = last_words(s), *sentence = NULL;

        s->journal.gone = true;
        if (s->qemu_gone)
                return 0;
        if (asprintf(&sentence, "--forward-journal: systemd-journal-remote ended: %s",
                            words ?: "no message") < 0)
                sentence = NULL;
        if (s->facts.running) {
                log_notice("%s; the guest's journal is not written any more",
                                sentence ?: "systemd-journal-remote ended");
                return 0;
        }
        (void) session_fail(s, -EPIPE, sentence ?: "systemd-journal-remote ended");
        return -EPIPE;
}

static int start(Session *s, char *program, char **reterr) {
        const VmConfig *c = s->request->config;
        Handover h = { .fd = s->request->login->journal };
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_close_ int taken = -EBADF;
        char **env = NULL;
        int r = build_argv(c, program, &argv, reterr);

        if (r >= 0)
                r = build_env(&h, &env);
        if (r < 0)
                return r;
        if (fcntl(FIRST_FD, F_GETFD) < 0)
                taken = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, FIRST_FD);
        r = process_spawn(
                        &(const ProcessSpec) {
                                        .file = program,
                                        .argv = argv,
                                        .env = env,
                                        .stdin_fd = -EBADF,
                                        .stdout_fd = -EBADF,
                                        .stderr_fd = s->journal.words,
                                        .own_group = true,
                                        .prepare = prepare,
                                        .userdata = &h,
                        },
                        &s->journal.process, reterr);
        free_env(env);
        return r < 0 ? r
                     : loop_add_child(s->loop, s->journal.process.pidfd, on_exit_status, s,
                                       &s->journal.source);
}

static int refuse_directory(const char *path, int r, char **reterr) {
        return error_set(reterr, r, "--forward-journal: cannot make the directory '%s': %s", path,
                        strerror(-r));
}

/* The directory is made; of a file, systemd-journal-remote says no more than that there is an error. */
static int check_place(const VmConfig *c, char **reterr) {
        const char *path = c->forward_journal;
        struct stat st;
        int r;

        if (vm_config_journal_is_file(c)) {
                r = file_check_create(path);
                return r < 0 ? error_set(reterr, r, "--forward-journal: cannot write to '%s': %s", path,
                                               strerror(-r))
                             : 0;
        }
        if (stat(path, &st) >= 0)
                r = !S_ISDIR(st.st_mode)                                                 ? -ENOTDIR
                                : faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) < 0 ? -errno
                                                                                         : 0;
        else if (errno == ENOENT) {
                r = file_check_parent(path);
                return r < 0 ? refuse_directory(path, r, reterr) : 0;
        } else
                r = -errno;
        return r < 0 ? error_set(reterr, r, "--forward-journal: cannot write to the directory '%s': %s",
                                       path, strerror(-r))
                     : 0;
}

int journal_check(const VmConfig *c, char **reterr) {
        _cleanup_strv_free_ char **argv = NULL;
        char *program = NULL;
        int r;

        if (!c->forward_journal)
                return 0;
        r = find_program(&program, reterr);
        if (r >= 0)
                r = build_argv(c, program, &argv, reterr);
        return r < 0 ? r : check_place(c, reterr);
}

int session_start_journal(Session *s, char **reterr) {
        const VmConfig *c = s->request->config;
        _cleanup_free_ char *program = NULL;
        int r;

        if (!c->forward_journal)
                return 0;
        r = find_program(&program, reterr);
        if (r >= 0)
                r = check_place(c, reterr);
        if (r < 0)
                return r;
        if (!vm_config_journal_is_file(c) && mkdir(c->forward_journal, 0755) < 0 && errno != EEXIST)
                return refuse_directory(c->forward_journal, -errno, reterr);
        s->journal.words = memfd_new("cvmspawn-journal");
        return s->journal.words < 0 ? s->journal.words : start(s, program, reterr);
}

void session_end_journal(Session *s) {
        s->journal.source = loop_source_unref(s->journal.source);
        /* The loop reaped it after its handler. */
        if (s->journal.gone)
                process_forget(&s->journal.process);
        else if (s->journal.process.pid > 0) {
                (void) !process_wait(&s->journal.process, LAST_USEC, NULL);
                process_done(&s->journal.process);
        }
        s->journal.words = fd_close(s->journal.words);
}
