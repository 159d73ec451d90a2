/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest as a machine of this host: QEMU in a scope unit, and registered with systemd-machined (io.systemd.Machine, by D-Bus where that
 * is too old). A child does it while QEMU builds the machine, so that a manager that does not answer holds up no signal, and its memory is
 * gone before the guest runs. machined watches QEMU's process: whatever ends it ends the registration.
 *
 * systemd-vmspawn lets machined make the scope, which then ignores --slice= and --property=. Here the launcher makes it in every case. */

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "encode.h"
#include "error.h"
#include "fd.h"
#include "log.h"
#include "progress.h"
#include "run-check.h"
#include "run-scope.h"
#include "run-session.h"
#include "strutil.h"
#include "varlink-connection.h"

#define INTERFACE    "io.systemd.Machine"
#define BUS_SERVICE  "/usr/share/dbus-1/system-services/org.freedesktop.machine1.service"
#define AUTO_USEC    (UINT64_C(30) * 1000000)
#define ASKED_USEC   (UINT64_C(60) * 1000000)
#define BUSY_USEC    (UINT64_C(3) * 1000000) /* a registration of the name is about to be removed */
#define STEP_NSEC    20000000L
#define ENDS_USEC    UINT64_C(1000000)
#define SENTENCE_MAX 512u

typedef struct MachineJob {
        const Session *s;
        int report; /* the pipe's end */
        bool user, registers;
        uint64_t deadline;
} MachineJob;

typedef struct MachineAnswer {
        int scope, registration; /* 0 or -errno */
        char sentence[SENTENCE_MAX];
} MachineAnswer;

bool run_for_user(const VmConfig *c) {
        return c->manager == MANAGER_USER || (c->manager == MANAGER_AUTO && geteuid() != 0);
}

/* Below /run, or the user's folder: where machined listens. */
static int open_folder(bool user) {
        const char *base = user ? getenv("XDG_RUNTIME_DIR") : "/run";
        _cleanup_free_ char *path = NULL;

        if (!base || *base != '/')
                return -ENOENT;
        if (asprintf(&path, "%s/systemd/machine", base) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return fd_open(path, O_PATH | O_DIRECTORY, 0);
}

static int interface_index(const Session *s) {
        struct ifreq request = {};
        _cleanup_close_ int fd = -EBADF;

        if (s->request->config->network != NETWORK_TAP)
                return 0;
        vm_config_tap_name(s->request->config->machine, request.ifr_name);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return fd >= 0 && ioctl(fd, SIOCGIFINDEX, &request) >= 0 ? request.ifr_ifindex : 0;
}

static int set_login(Json *j, const Session *s) {
        const LaunchChoices *choices = s->request->choices;
        const Login *l = s->request->login;
        int r = 0;

        /* The kernel's addresses only: what machined knows is for all of the host. */
        if (choices->vsock == VSOCK_YES)
                r = js_set(j, "vSockCid", js_u64(choices->vsock_cid));
        if (r >= 0 && choices->vsock != VSOCK_NO && l->address)
                r = js_set(j, "sshAddress", js_string(l->address));
        if (r >= 0 && choices->vsock != VSOCK_NO && l->key)
                r = js_set(j, "sshPrivateKeyPath", js_string(l->key));
        return r;
}

static int set_root(Json *j, const VmConfig *c) {
        _cleanup_free_ char *path = c->directory ? realpath(c->directory, NULL) : NULL;

        return path ? js_set(j, "rootDirectory", js_string(path)) : 0;
}

/* --uuid= without its dashes; empty if it was not given. */
static void plain_uuid(const VmConfig *c, char ret[33]) {
        size_t n = 0;

        for (const char *p = c->uuid; p && *p && n < 32; p++)
                if (*p != '-')
                        ret[n++] = *p;
        ret[n] = 0;
}

static int set_id(Json *j, const VmConfig *c) {
        char plain[33];

        plain_uuid(c, plain);
        return *plain ? js_set(j, "id", js_string(plain)) : 0;
}

/* modern: machined of systemd 262 or later, which is told where the guest is controlled; without that it signals the leader: the launcher
 * knows what SIGRTMIN+4 and SIGINT mean, but is in QEMU's unit only with --keep-unit. */
static int build_registration(const Session *s, bool modern, Json **ret) {
        const VmConfig *c = s->request->config;
        _cleanup_js_ Json *j = NULL;
        const int interface = interface_index(s);
        Json *list = NULL;
        int r = js_build(&j, "{s:s, s:s, s:s}", "name", c->machine ?: "cvm", "service", "cvmspawn", "class",
                        "vm");

        if (r >= 0 && modern) {
                Json *leader = NULL;

                r = js_build(&leader, "{s:i}", "pid", (int) s->qemu.pid);
                if (r >= 0)
                        r = js_set(j, "leaderProcessId", leader);
                if (r >= 0 && s->control_socket.path)
                        r = js_set(j, "controlAddress", js_string(s->control_socket.path));
        } else if (r >= 0)
                r = js_set(j, "leader", js_u64((uint64_t) (c->keep_unit ? getppid() : s->qemu.pid)));
        if (r >= 0)
                r = set_id(j, c);
        if (r >= 0)
                r = set_root(j, c);
        if (r >= 0)
                r = set_login(j, s);
        if (r >= 0 && interface > 0) {
                r = js_build(&list, "[i]", interface);
                if (r >= 0)
                        r = js_set(j, "ifIndices", list);
        }
        if (r >= 0 && modern && isatty(STDIN_FILENO))
                r = js_set(j, "allowInteractiveAuthentication", js_bool(true));
        if (r >= 0)
                *ret = TAKE_PTR(j);
        return r;
}

/* 0; -EOPNOTSUPP: a parameter is not known; -EEXIST: the name is taken. */
static int call_register(VarlinkConnection *v, Json *parameters, uint64_t deadline, char **reterr) {
        _cleanup_(varlink_reply_done) VarlinkReply reply = {};
        int r = varlink_connection_call(v, INTERFACE ".Register", parameters, /* more= */ false, deadline);

        if (r >= 0)
                r = varlink_connection_receive(v, deadline, &reply);
        if (r < 0)
                return error_set(reterr, r, "systemd-machined does not answer: %s", strerror(-r));
        if (!reply.error)
                return 0;
        if (streq(reply.error, "org.varlink.service.InvalidParameter"))
                return -EOPNOTSUPP;
        if (streq(reply.error, INTERFACE ".MachineExists"))
                return error_set(reterr, -EEXIST, "a machine of this name is registered already");
        return error_set(reterr, -EPERM, "systemd-machined answered %s", reply.error);
}

static int register_by_varlink(const MachineJob *job, int folder_fd, char **reterr) {
        _cleanup_(varlink_connection_done) VarlinkConnection v = VARLINK_CONNECTION_NONE;
        const uint64_t patience = MIN(job->deadline, monotonic_usec() + BUSY_USEC);
        const struct timespec step = { .tv_nsec = STEP_NSEC };
        bool modern = true;
        int r = varlink_connection_open(folder_fd, INTERFACE, &v);

        if (r < 0)
                return r;
        for (;;) {
                Json *parameters = NULL;

                r = build_registration(job->s, modern, &parameters);
                if (r < 0)
                        return r;
                free(*reterr);
                *reterr = NULL;
                r = call_register(&v, parameters, job->deadline, reterr);
                if (r == -EOPNOTSUPP && modern)
                        modern = false;
                else if (r == -EEXIST && monotonic_usec() < patience)
                        (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &step, NULL);
                else
                        return r;
        }
}

static int register_old(const MachineJob *job, char **reterr) {
        const VmConfig *c = job->s->request->config;
        _cleanup_free_ char *root = c->directory ? realpath(c->directory, NULL) : NULL;
        char plain[33];
        uint8_t id[16];

        plain_uuid(c, plain);
        const BusRegistration b = {
                .name = c->machine ?: "cvm",
                .root = root,
                .id = hex_decode_exact(plain, id, sizeof(id)) >= 0 ? id : NULL,
                .leader = c->keep_unit ? getppid() : job->s->qemu.pid,
                .interface = interface_index(job->s),
        };

        return machine_register_by_bus(&b, job->user, job->deadline, reterr);
}

static int register_with(const MachineJob *job, bool user, char **reterr) {
        _cleanup_close_ int fd = open_folder(user);
        int r = fd < 0 ? fd : register_by_varlink(job, fd, reterr);

        if (r != -ENOENT && r != -ECONNREFUSED)
                return r;
        return user ? error_set(reterr, -ESRCH, "systemd-machined of this user is not running")
                    : register_old(job, reterr);
}

static int register_machine(const MachineJob *job, char **reterr) {
        int r = register_with(job, job->user, reterr);

        /* The system's one shows a user's guests as well, where its policy lets it. */
        if (job->user && job->s->request->config->registration == TRISTATE_AUTO) {
                _cleanup_free_ char *error = NULL;

                if (register_with(job, /* user= */ false, &error) >= 0 && r == -ESRCH) {
                        free(*reterr);
                        *reterr = NULL;
                        r = 0;
                }
        }
        return r;
}

static int machine_main(void *userdata) {
        const MachineJob *job = userdata;
        const VmConfig *c = job->s->request->config;
        MachineAnswer a = {};
        _cleanup_free_ char *error = NULL;

        if (!c->keep_unit) {
                /* What was asked for is not taken back by dying: a launcher that is killed meanwhile leaves it to this child. */
                (void) prctl(PR_SET_PDEATHSIG, 0);
                a.scope = scope_start(c, job->user, job->s->qemu.pid, job->deadline, &error);
        }
        if (a.scope >= 0 && job->registers)
                a.registration = register_machine(job, &error);
        if (a.scope < 0 || a.registration < 0)
                (void) snprintf(a.sentence, sizeof(a.sentence), "%s",
                                error ?: strerror(a.scope < 0 ? -a.scope : -a.registration));
        text_flatten(a.sentence, sizeof(a.sentence) - 1);
        return fd_write_all(job->report, &a, sizeof(a)) < 0;
}

/* --- the launcher's side ----------------------------------------------------------------------------------------------- */

static bool machined_there(bool user) {
        _cleanup_close_ int fd = open_folder(user);

        return (fd >= 0 && faccessat(fd, INTERFACE, F_OK, 0) >= 0) ||
                        (!user && access(BUS_SERVICE, F_OK) >= 0);
}

/* auto: where a guest that has a name can be registered. */
static bool wants_registration(const VmConfig *c) {
        if (c->registration != TRISTATE_AUTO)
                return c->registration == TRISTATE_YES;
        return !c->machine_of_kernel && c->machine && access("/run/systemd/system", F_OK) >= 0 &&
                        machined_there(run_for_user(c));
}

static int on_answer(_unused_ LoopSource *source, int fd, _unused_ uint32_t events, void *userdata) {
        MachineState *m = &((Session *) userdata)->registration;
        const VmConfig *c = ((Session *) userdata)->request->config;
        MachineAnswer a = {};

        m->source = loop_source_unref(m->source);
        m->done = true;
        if (fd_read_exact(fd, &a, sizeof(a)) < 0) {
                a = (MachineAnswer) { .registration = -EIO };
                (void) snprintf(a.sentence, sizeof(a.sentence), "the child that registers it ended");
        }
        a.sentence[sizeof(a.sentence) - 1] = 0;
        if (a.scope < 0 && (c->slice || c->properties)) {
                m->result = error_set(&m->error, a.scope, "--slice= and --property=: %s", a.sentence);
        } else if ((a.scope < 0 || a.registration < 0) && c->registration == TRISTATE_YES) {
                m->result = error_set(&m->error, a.scope < 0 ? a.scope : a.registration,
                                "--register=yes: cannot register the guest '%s': %s", c->machine ?: "cvm",
                                a.sentence);
        } else if (a.scope < 0 || a.registration < 0)
                log_notice("the guest '%s' is not registered: %s", c->machine ?: "cvm", a.sentence);
        return 0;
}

int session_start_machine(Session *s) {
        const VmConfig *c = s->request->config;
        MachineState *m = &s->registration;
        int p[2], r;

        MachineJob job = {
                .s = s,
                .user = run_for_user(c),
                .registers = wants_registration(c),
                .deadline = monotonic_usec() + (c->registration == TRISTATE_YES ? ASKED_USEC : AUTO_USEC),
        };
        m->done = !job.registers && !c->slice && !c->properties;
        if (m->done)
                return 0;
        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        m->fd = p[0];
        job.report = p[1];
        r = process_fork(machine_main, &job, &m->process);
        (void) fd_close(p[1]);
        return r < 0 ? r : loop_add_io(s->loop, m->fd, EPOLLIN, on_answer, s, &m->source);
}

int session_wait_machine(Session *s, char **reterr) {
        MachineState *m = &s->registration;

        if (!m->done)
                progress_step("registering the guest with systemd-machined");
        while (!m->done && !session_interrupted(s) && !s->qemu_gone) {
                int r = loop_once(s->loop, UINT64_MAX);

                if (r < 0)
                        return r;
        }
        if (!m->done)
                return -ECANCELED;
        if (m->process.pid > 0)
                (void) !process_wait(&m->process, ENDS_USEC, NULL);
        return m->result < 0 ? error_set(reterr, m->result, "%s", m->error ?: strerror(-m->result)) : 0;
}

void session_end_machine(Session *s) {
        MachineState *m = &s->registration;

        m->source = loop_source_unref(m->source);
        m->fd = fd_close(m->fd);
        /* It stops a scope that it has asked for and that QEMU no longer needs. */
        if (m->process.pid > 0 && process_wait(&m->process, ENDS_USEC, NULL) < 0)
                (void) process_signal(&m->process, SIGKILL);
        process_done(&m->process);
        free(m->error);
        m->error = NULL;
}
