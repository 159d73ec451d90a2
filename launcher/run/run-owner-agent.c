/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-owner-agent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "run-programs.h"
#include "strutil.h"

#define PROGRAM OWNER_AGENT_PROGRAM
#define SILENCE_USEC                                                                                        \
        (5 * 60 * UINT64_C(1000000)) /* it tells of every wait that it spends; fetching certificates takes a while */
#define EXIT_USEC    (5 * UINT64_C(1000000)) /* between the last word and the end */
#define ERASE_USEC   UINT64_C(1000000)       /* for it to end by itself, unless it waits for somebody */
#define MESSAGES_MAX (64u * 1024)

void owner_agent_done(OwnerAgent *c) {
        siginfo_t si;

        c->fd = fd_close(c->fd);
        /* A process that does not exit by itself is killed. */
        if (c->process.pid <= 0 || process_wait(&c->process, ERASE_USEC, &si) < 0)
                process_done(&c->process);
        c->messages = fd_close(c->messages);
        free(c->line);
        *c = OWNER_AGENT_NONE;
}

int owner_agent_start(char *const *options, OwnerAgent *ret, char **reterr) {
        _cleanup_(owner_agent_done) OwnerAgent c = OWNER_AGENT_NONE;
        _cleanup_close_ int theirs = -EBADF;
        _cleanup_strv_free_ char **argv = NULL;
        char *program = NULL;
        int pair[2], r;

        r = run_find_program(PROGRAM, &program, reterr);
        if (r >= 0)
                r = strv_consume(&argv, program);
        STRV_FOREACH(o, options)
                if (r >= 0)
                        r = strv_push(&argv, *o);
        if (r < 0)
                return r;
        c.line = malloc(OWNER_AGENT_LINE_MAX);
        c.messages = memfd_new("cvmspawn-messages");
        if (!c.line || c.messages < 0)
                return -ENOMEM;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        c.fd = pair[0];
        theirs = pair[1];
        r = process_spawn(
                        &(const ProcessSpec) {
                                        .file = argv[0],
                                        .argv = argv,
                                        .stdin_fd = theirs,
                                        .stdout_fd = theirs,
                                        .stderr_fd = c.messages,
                                        .own_group = true,
                        },
                        &c.process, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(c, OWNER_AGENT_NONE);
        return 0;
}

/* What it said on standard error since the last time; owned. */
static char *take_messages(OwnerAgent *c) {
        char *text = malloc(MESSAGES_MAX);
        ssize_t n;

        if (!text)
                return NULL;
        n = pread(c->messages, text, MESSAGES_MAX - 1, (off_t) c->told);
        if (n < 0)
                n = 0;
        c->told += (size_t) n;
        text[n] = 0;
        return text;
}

static void pass_messages_on(OwnerAgent *c) {
        _cleanup_free_ char *text = take_messages(c);

        for (char *line = text, *end; line && *line; line = end) {
                size_t n = strcspn(line, "\n");
                end = line + n + (line[n] == '\n');
                line[n] = 0;
                if (*line)
                        log_warning("%s", program_sentence(PROGRAM, line));
        }
}

/* It went away: its last words are the reason. */
static int explain_end(OwnerAgent *c, char **reterr) {
        _cleanup_free_ char *text = NULL;
        siginfo_t si = {};

        if (process_wait(&c->process, EXIT_USEC, &si) < 0)
                return error_set(reterr, -EBADMSG, "the " PROGRAM " program closed its connection");
        text = take_messages(c);
        if (text) {
                text[strcspn(text, "\n")] = 0;
                if (*text)
                        return error_set(reterr, -EBADMSG, "%s", program_sentence(PROGRAM, text));
        }
        if (si.si_code != CLD_EXITED)
                return error_set(reterr, -EBADMSG, "the " PROGRAM " program was killed by signal %d",
                                si.si_status);
        return error_set(reterr, -EBADMSG, "the " PROGRAM " program ended without an error message");
}

/* The next line, parsed. The channel blocks, but is read only where there is something. */
static int next_line(OwnerAgent *c, RunHook *h, Json **ret, char **reterr) {
        char *end;

        while (!(end = memchr(c->line, '\n', c->size))) {
                ssize_t n;
                int r;

                if (c->size == OWNER_AGENT_LINE_MAX)
                        return error_set(reterr, -EMSGSIZE,
                                        "the " PROGRAM " program sent more than the limit");
                r = run_hook_wait(h, c->fd, SILENCE_USEC);
                if (r == -ETIMEDOUT)
                        return error_set(reterr, r, "the " PROGRAM " program did not answer in time");
                if (r < 0)
                        return r;
                n = read(c->fd, c->line + c->size, OWNER_AGENT_LINE_MAX - c->size);
                if (n <= 0)
                        return explain_end(c, reterr);
                c->size += (size_t) n;
        }
        size_t n = (size_t) (end - c->line);
        int r = js_parse(c->line, n, ret, reterr);

        c->size -= n + 1;
        memmove(c->line, end + 1, c->size);
        return r < 0 ? error_prefix(reterr, r, "the " PROGRAM " program") : 0;
}

static int send_line(OwnerAgent *c, const Json *request, char **reterr) {
        _cleanup_free_ char *text = js_text(request, JS_SHORT);
        size_t n, done = 0;

        if (!text)
                return -ENOMEM;
        n = strlen(text);
        text[n++] = '\n';
        /* It reads before it thinks, and the socket holds a request. */
        while (done < n) {
                ssize_t k = send(c->fd, text + done, n - done, MSG_NOSIGNAL);

                if (k < 0)
                        return errno == EPIPE ? explain_end(c, reterr) : -errno;
                done += (size_t) k;
        }
        return 0;
}

int owner_agent_ask(
                OwnerAgent *c, RunHook *h, Json *request, const char *wanted, Json **ret, char **reterr) {
        _cleanup_js_ Json *taken = request;
        int r = taken ? send_line(c, taken, reterr) : -ENOMEM;

        while (r >= 0) {
                _cleanup_js_ Json *answer = NULL;
                const char *type, *reason;

                r = next_line(c, h, &answer, reterr);
                if (r < 0)
                        return r;
                pass_messages_on(c);
                type = js_string_value(js_get(answer, "type"));
                reason = js_string_value(js_get(answer, "reason"));
                if (streq_ptr(type, wanted)) {
                        *ret = TAKE_PTR(answer);
                        return 0;
                }
                if (streq_ptr(type, "refused"))
                        return error_set(reterr, -EKEYREJECTED, "%s", reason ?: "the launch is refused");
                if (!streq_ptr(type, "waiting"))
                        return error_set(reterr, -EBADMSG,
                                        "the " PROGRAM " program returned no answer of type %s", wanted);
                run_hook_tell(h, "waiting", reason ?: "waiting for the attestation service");
        }
        return r;
}
