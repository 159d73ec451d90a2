/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn sevsim: runs a command on a simulated SEV host and says what it launched there. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "process.h"
#include "sevsim-host.h"
#include "sevsim-parts.h"
#include "sevsim-report.h"
#include "sevsim-world.h"
#include "strutil.h"

#define EXIT_DIFFERENT   3
#define KEPT_FDS_MAX     256u
#define PREDICTION_MAX   ((size_t) 1 << 20)
#define DIGEST_DIGITS(n) ((n) == 64 || (n) == 96) /* SHA-256 of SEV and SEV-ES, SHA-384 of SNP and TDX */

static int set_expect(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        size_t n = strlen(value);

        if (!DIGEST_DIGITS(n) || strspn(value, "0123456789abcdef") != n)
                return error_set(reterr, -EINVAL,
                                "'%s' is not a digest: expected 64 or 96 lower-case hexadecimal digits",
                                value);
        return option_set_string(userdata, row, value, reterr);
}

static int set_node(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        if (strlen(value) == 0 || strspn(value, "01234567:") != strspn(value, "0123456789:") ||
                        strspn(value, "0123456789:") != strlen(value))
                return error_set(reterr, -EINVAL, "'%s' is not MODE[:UID[:GID]], for example 0660:0:104",
                                value);
        return option_set_string(userdata, row, value, reterr);
}

#define AT(member) offsetof(SevsimOptions, member)

static const OptionRow rows[] = {
        { "record", 0, OPTION_REQUIRED, "DIR", "Simulation",
                        "Keep commands, pages and digests of each launch in this folder", "@dir",
                        option_set_string, AT(record), 0 },
        { "expect-digest", 0, OPTION_REQUIRED, "HEX", NULL, "Compare the recorded digest with this one",
                        NULL, set_expect, AT(expect), OPTION_STRING },
        { "platform", 0, OPTION_REQUIRED, "DIR", NULL,
                        "Use the identity of the simulated platform in this folder, and\n"
                        "make one up there if it is missing",
                        "@dir", option_set_string, AT(platform), 0 },
        { "guest", 0, OPTION_REQUIRED, "WHAT", NULL,
                        "Choose what the guest, which cannot run code, does at once:\npoweroff (default), reset, "
                        "or block until QEMU is ended; or KVM\ncannot run it: fault, fail-entry",
                        "poweroff reset block fault fail-entry", option_set_word, AT(guest), 0 },
        { "sev-node", 0, OPTION_REQUIRED, "MODE[:UID[:GID]]", NULL,
                        "Set the rights of the simulated /dev/sev (default: 0600:0:0)", NULL, set_node,
                        AT(sev_node), OPTION_STRING },
        { "generation", 0, OPTION_REQUIRED, "NAME", NULL,
                        "Make the platform one of this processor generation (default: genoa)",
                        "milan genoa turin", option_set_word, AT(generation), 0 },
        { "faults", 0, OPTION_REQUIRED, "NAME[@STEP],...", NULL,
                        "Let these errors of kernel and secure processor occur; 'list'\nshows them", "list",
                        option_set_string, AT(faults), 0 },
        { "listen", 0, OPTION_REQUIRED, "DIR", "A host that several commands share",
                        "Keep a simulated host in this folder until SIGTERM; no command is run", "@dir",
                        option_set_string, AT(listen), 0 },
        { "join", 0, OPTION_REQUIRED, "DIR", NULL,
                        "Run the command on the host in this folder; without a command show\nit and its guests",
                        "@dir", option_set_string, AT(join), 0 },
        VERB_ROWS("Output"),
        { "print-host-caps", 0, OPTION_NONE, NULL, NULL,
                        "Print the simulated host as a --host-caps= file and exit", NULL, option_set_true,
                        AT(host_caps), 0 },
};

static const OptionRule rules[] = {
        { "print-host-caps", NULL,
                        "record expect-digest platform generation guest sev-node faults listen join json",
                        "no command is run then" },
        { "listen", NULL, "expect-digest join", "a host that is there runs commands with --join=" },
        { "join", NULL, "record platform generation", "the host has them" },
};

static const OptionTable table = {
        .program = "cvmspawn sevsim",
        .arguments = "-- COMMAND [ARGUMENTS...] | platform make DIR",
        .summary = "Run a command on a simulated SEV or TDX host and record its launches.",
        .zone = "host",
        .epilog = "This is a simulation: nothing is encrypted, no guest code runs, nothing is signed by AMD or Intel.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

/* Descriptors that we were given are the command's. */
static size_t inherited_fds(int *ret, size_t max) {
        DIR *d = opendir("/proc/self/fd");
        size_t n = 0;

        if (!d)
                return 0;
        for (struct dirent *e = readdir(d); e && n < max; e = readdir(d)) {
                unsigned fd;

                if (parse_unsigned(e->d_name, &fd) >= 0 && fd > STDERR_FILENO && (int) fd != dirfd(d) &&
                                !(fcntl((int) fd, F_GETFD) & FD_CLOEXEC))
                        ret[n++] = (int) fd;
        }
        closedir(d);
        return n;
}

/* Passes on what asks us to end, and waits for the command: its exit status, or 128 and the signal. */
static int wait_for(Process *p, int host_fd, char **reterr) {
        struct signalfd_siginfo info;
        siginfo_t end;
        sigset_t mask;
        bool host_ended = false;
        int fd, r;

        sigemptyset(&mask);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGHUP);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        fd = signalfd(-1, &mask, SFD_CLOEXEC);
        for (;;) {
                struct pollfd fds[] = { { .fd = p->pidfd, .events = POLLIN }, { .fd = fd, .events = POLLIN },
                        { .fd = host_ended ? -1 : host_fd, .events = POLLIN } };

                if (poll(fds, ELEMENTSOF(fds), -1) < 0 && errno != EINTR)
                        break;
                if (fds[0].revents)
                        break;
                if (fds[2].revents) {
                        host_ended = true;
                        (void) process_signal(p, SIGTERM);
                }
                /* A terminal sends SIGINT to the command as well. */
                if (fds[1].revents && read(fd, &info, sizeof(info)) == sizeof(info) &&
                                info.ssi_signo != SIGINT)
                        (void) process_signal(p, (int) info.ssi_signo);
        }
        fd_close(fd);
        r = process_wait(p, UINT64_MAX, &end);
        if (r < 0)
                return error_set(reterr, r, "cannot wait for the command: %s", strerror(-r));
        if (host_ended)
                return error_set(reterr, -EPIPE,
                                "the simulated host ended while the command ran; the command was ended");
        return end.si_code == CLD_EXITED ? end.si_status : 128 + end.si_status;
}

/* Our own launcher can predict the digest, and takes a description of the host. */
static bool is_own_launch(char *const *command) {
        const char *slash = strrchr(command[0], '/');

        return streq(slash ? slash + 1 : command[0], "cvmspawn") && (!command[1] || command[1][0] == '-');
}

static int launcher_command(const SevsimWorld *world, char *const *command, const char *extra, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;
        bool caps = false;
        int r;

        STRV_FOREACH(argument, command)
                caps = caps || startswith(*argument, "--host-caps");
        r = strv_push(&l, command[0]);
        if (r >= 0 && !caps)
                r = strv_pushf(&l, "--host-caps=%s", world->host_caps);
        if (r >= 0 && extra)
                r = strv_push(&l, extra);
        STRV_FOREACH(argument, command + 1)
                if (r >= 0)
                        r = strv_push(&l, *argument);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

/* The first word of hexadecimal digits that has a digest's length; *ret is owned, or NULL if nothing has. */
static int find_digest(const char *text, char **ret) {
        static const char digits[] = "0123456789abcdef";

        for (const char *p = text; *p;) {
                size_t n = strspn(p, digits);

                if (DIGEST_DIGITS(n)) {
                        *ret = strndup(p, n);
                        return *ret ? 0 : -ENOMEM;
                }
                p += n > 0 ? n : 1;
        }
        *ret = NULL;
        return 0;
}

/* Asks the launcher itself, before anything is launched. A missing prediction is not a failure: not everything is predictable. */
static int predict(const SevsimWorld *world, char *const *command, char **ret, char **reterr) {
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_close_ int out_read = -EBADF, out_write = -EBADF;
        _cleanup_(process_done) Process p = PROCESS_NONE;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int pipe_fds[2], r;

        r = launcher_command(world, command, "--print=digest", &argv);
        if (r < 0)
                return r;
        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return -errno;
        out_read = pipe_fds[0];
        out_write = pipe_fds[1];
        r = process_spawn(&(ProcessSpec) { .file = argv[0],
                                          .argv = argv,
                                          .stdin_fd = -1,
                                          .stdout_fd = out_write,
                                          .stderr_fd = -1 },
                        &p, reterr);
        out_write = fd_close(out_write);
        if (r < 0)
                return r;
        r = fd_read_all(out_read, PREDICTION_MAX, &text, &size);
        return r < 0 ? r : find_digest(text, ret);
}

static int run_command(const SevsimOptions *options, const SevsimWorld *world, int host_fd,
                char *const *command, char **reterr) {
        _cleanup_strv_free_ char **env = NULL;
        _cleanup_(process_done) Process p = PROCESS_NONE;
        int fds[KEPT_FDS_MAX], r;

        r = sevsim_world_env(world, options, &env);
        if (r < 0)
                return r;
        r = process_spawn(&(ProcessSpec) { .file = command[0],
                                          .argv = command,
                                          .env = env,
                                          .stdin_fd = STDIN_FILENO,
                                          .stdout_fd = STDOUT_FILENO,
                                          .stderr_fd = STDERR_FILENO,
                                          .keep_fds = fds,
                                          .n_keep_fds = inherited_fds(fds, KEPT_FDS_MAX) },
                        &p, reterr);
        return r < 0 ? r : wait_for(&p, host_fd, reterr);
}

static int report(const SevsimOptions *options, const SevsimWorld *world, const char *predicted, int status,
                char **reterr) {
        _cleanup_(sevsim_report_done) SevsimReport report = {};
        _cleanup_free_ char *json = NULL;
        SevsimMatch match;
        int r;

        r = sevsim_report_read(world->record, world->before, predicted, &report, reterr);
        if (r < 0)
                return r;
        match = sevsim_report_match(&report);
        if (match == SEVSIM_MATCH_DIFFERENT)
                status = EXIT_DIFFERENT;
        else if (match == SEVSIM_MATCH_UNKNOWN && options->expect && status == 0)
                status = EXIT_FAILURE;

        if (options->common.json) {
                r = sevsim_report_json(&report, options->common.style, status, &json);
                if (r < 0)
                        return r;
                (void) puts(json);
        } else
                sevsim_report_print(&report, options->record != NULL, stdout);
        return fflush(stdout) != 0 ? -EIO : status;
}

/* cvmspawn sevsim platform make DIR: a platform without a command. A program of that name is given with its path. */
static bool is_make(char *const *words) {
        return strv_length(words) >= 2 && streq(words[0], "platform") && streq(words[1], "make");
}

static int make_platform(const SevsimOptions *options, char *const *words, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        const char *generation = options->generation ?: "genoa", *folder = words[2];
        int r;

        if (strv_length(words) != 3)
                return error_set(reterr, -EINVAL,
                                "no folder, or too many: cvmspawn sevsim platform make DIR");
        if (options->record || options->expect || options->platform || options->guest || options->sev_node ||
                        options->faults || options->listen || options->join)
                return error_set(reterr, -EINVAL,
                                "'platform make' takes --generation= and --json only: no command is run then");
        if (sevsim_has_identity(folder))
                return error_set(reterr, -EEXIST, "'%s' has a platform already", folder);
        r = sevsim_make_identity(folder, /* complete= */ true, generation, reterr);
        if (r < 0)
                return r;
        if (!options->common.json)
                return printf("sevsim (simulation): made a %s platform in %s: nothing of it is AMD's\n",
                                       generation, folder) < 0
                                ? -EIO
                                : 0;
        r = js_build(&j, "{s:b, s:s, s:s}", "simulation", true, "generation", generation, "folder", folder);
        return r < 0 ? r : verb_print_json(j, options->common.style);
}

static int sevsim_run(void *userdata, char **arguments, char **reterr) {
        SevsimOptions *options = userdata;
        _cleanup_(sevsim_world_done) SevsimWorld world = {};
        _cleanup_(sevsim_join_done) SevsimJoin join = SEVSIM_JOIN_NONE;
        _cleanup_strv_free_ char **command = NULL;
        _cleanup_free_ char *predicted = NULL, *text = NULL;
        int status, r;

        if (options->host_caps) {
                r = sevsim_host_caps(&text);
                return r < 0 ? r : puts(text) < 0 ? -EIO : 0;
        }
        if (streq_ptr(options->faults, "list"))
                return sevsim_list_faults(reterr);
        if (is_make(arguments))
                return make_platform(options, arguments, reterr);
        if (options->join && strv_length(arguments) == 0)
                return sevsim_show_host(options, reterr);
        if (!options->listen && strv_length(arguments) == 0)
                return error_set(reterr, -EINVAL, "no command: cvmspawn sevsim -- COMMAND [ARGUMENTS...]");
        if (options->listen && strv_length(arguments) > 0)
                return error_set(reterr, -EINVAL,
                                "--listen= runs no command: run it with --join= once the host is ready");

        r = options->faults ? sevsim_check_faults(options->faults, reterr) : 0;
        if (r >= 0 && options->listen)
                return sevsim_listen(options, reterr);
        if (r >= 0 && options->join)
                r = sevsim_join(options, &join, reterr);
        if (r >= 0)
                r = sevsim_world_make(options, &world, reterr);
        if (r < 0)
                return r;
        if (options->expect && !(predicted = strdup(options->expect)))
                return -ENOMEM;
        if (is_own_launch(arguments)) {
                if (!predicted)
                        r = predict(&world, arguments, &predicted, reterr);
                if (r >= 0)
                        r = launcher_command(&world, arguments, NULL, &command);
                if (r < 0)
                        return r;
        }
        r = run_command(options, &world, join.host_fd, command ?: arguments, reterr);
        if (r < 0)
                return r;
        status = r;
        r = sevsim_world_deliver(&world, reterr);
        return r < 0 ? r : report(options, &world, predicted, status, reterr);
}

static const VerbProgram program = {
        .table = &table,
        .log_name = "cvmspawn sevsim (simulation)",
        .size = sizeof(SevsimOptions),
        .common = AT(common),
        .run = sevsim_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
