/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* D-Bus: org.freedesktop.systemd1(5), StartTransientUnit(); org.freedesktop.machine1(5), RegisterMachineWithNetwork(). */

#include "run-scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#include "config-scope.h"
#include "error.h"
#include "fd.h"
#include "run-output.h"
#include "strutil.h"

#define SYSTEMD         "org.freedesktop.systemd1"
#define SYSTEMD_PATH    "/org/freedesktop/systemd1"
#define MACHINED        "org.freedesktop.machine1"
#define MACHINED_PATH   "/org/freedesktop/machine1"
#define UNIT_EXISTS     "org.freedesktop.systemd1.UnitExists"
#define PRIVATE_ADDRESS "unix:path=/run/systemd/private" /* of the service manager alone, for root */
#define STEP_NSEC       20000000L
#define CGROUP_TEXT_MAX ((size_t) 64 << 10)
#define BUSY_USEC       (UINT64_C(3) * 1000000)

typedef sd_bus_message Message;

static void bus_done(sd_bus **bus) {
        if (*bus)
                sd_bus_flush_close_unref(*bus);
}
#define _cleanup_bus_ _cleanup_(bus_done)

static void message_done(Message **m) {
        sd_bus_message_unref(*m);
}
#define _cleanup_message_ _cleanup_(message_done)

static int time_left(uint64_t deadline, uint64_t *ret) {
        uint64_t now = monotonic_usec();

        if (now >= deadline)
                return -ETIMEDOUT;
        *ret = deadline - now;
        return 0;
}

static int open_private(sd_bus **ret) {
        _cleanup_bus_ sd_bus *bus = NULL;
        int r = sd_bus_new(&bus);

        if (r >= 0)
                r = sd_bus_set_address(bus, PRIVATE_ADDRESS);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r >= 0)
                *ret = TAKE_PTR(bus);
        return r;
}

static int open_bus(bool user, bool manager_only, sd_bus **ret, char **reterr) {
        int r = user ? sd_bus_open_user(ret) : sd_bus_open_system(ret);

        if (r < 0 && manager_only && !user && geteuid() == 0 && open_private(ret) >= 0)
                return 0;
        return r < 0 ? error_set(reterr, r, "cannot connect to the %s bus: %s", user ? "user" : "system",
                                       strerror(-r))
                     : 0;
}

static int call(sd_bus *bus, Message *m, uint64_t deadline, sd_bus_error *error, Message **ret) {
        uint64_t left;
        int r = time_left(deadline, &left);

        return r < 0 ? r : sd_bus_call(bus, m, left, error, ret);
}

static int append_value(Message *m, const ScopeValue *v) {
        char scale[64];
        int r;

        switch (v->kind) {
        case SCOPE_BYTES:
        case SCOPE_TASKS:
                if (!v->scale)
                        return sd_bus_message_append(m, "(sv)", v->property, "t", v->number);
                (void) snprintf(scale, sizeof(scale), "%sScale", v->property);
                return sd_bus_message_append(m, "(sv)", scale, "u", (uint32_t) v->number);
        case SCOPE_BOOL:
                return sd_bus_message_append(m, "(sv)", v->property, "b", (int) v->number);
        case SCOPE_TEXT:
                return sd_bus_message_append(m, "(sv)", v->property, "s", v->text);
        case SCOPE_UNITS:
        case SCOPE_CPUS:
                r = sd_bus_message_open_container(m, 'r', "sv");
                if (r >= 0)
                        r = sd_bus_message_append(m, "s", v->property);
                if (r >= 0)
                        r = sd_bus_message_open_container(m, 'v', v->kind == SCOPE_CPUS ? "ay" : "as");
                if (r >= 0)
                        r = v->kind == SCOPE_CPUS ? sd_bus_message_append_array(m, 'y', v->bits, v->n_bits)
                                                  : sd_bus_message_append_strv(m, v->words);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
                return r < 0 ? r : sd_bus_message_close_container(m);
        case SCOPE_WEIGHT:
        case SCOPE_PERCENT:
        case SCOPE_USEC:
        case _SCOPE_KIND_MAX:
                break;
        }
        return sd_bus_message_append(m, "(sv)", v->property, "t", v->number);
}

/* machined's defaults first: what the user says comes later, and counts. */
static int append_properties(Message *m, const VmConfig *config, pid_t qemu, char **reterr) {
        char description[128];
        int r = sd_bus_message_open_container(m, 'a', "(sv)");

        (void) snprintf(description, sizeof(description), "Virtual Machine %s", config->machine ?: "cvm");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s", description,
                                "Slice", "s", config->slice ?: SCOPE_SLICE, "PIDs", "au", 1, (uint32_t) qemu,
                                "Delegate", "b", 1, "CollectMode", "s", "inactive-or-failed", "TasksMax",
                                "t", (uint64_t) SCOPE_TASKS_MAX);
        STRV_FOREACH(p, config->properties) {
                ScopeValue v = {};

                if (r < 0)
                        break;
                r = scope_value_parse(*p, &v, reterr);
                if (r >= 0)
                        r = append_value(m, &v);
                scope_value_done(&v);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

typedef struct Job {
        const char *path; /* borrowed of the reply */
        char *result;     /* owned: "done", or another word */
} Job;

static int on_job_removed(Message *m, void *userdata, _unused_ sd_bus_error *error) {
        const char *path, *unit, *result;
        Job *job = userdata;
        uint32_t id;

        if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) < 0)
                return 0;
        /* Signals are dispatched after the reply was read: the path is known. */
        if (job->path && streq(path, job->path) && !job->result)
                job->result = strdup(result);
        return 0;
}

static int wait_for_job(sd_bus *bus, Job *job, uint64_t deadline) {
        while (!job->result) {
                uint64_t left;
                int r = sd_bus_process(bus, NULL);

                if (r > 0)
                        continue;
                if (r >= 0)
                        r = time_left(deadline, &left);
                if (r >= 0)
                        r = sd_bus_wait(bus, left);
                if (r < 0)
                        return r;
        }
        return 0;
}

typedef struct Scope {
        const char *unit;
        const VmConfig *config;
        pid_t qemu;
        uint64_t deadline;
} Scope;

static int new_call(sd_bus *bus, const Scope *scope, Message **ret, char **reterr) {
        _cleanup_message_ Message *m = NULL;
        int r = sd_bus_message_new_method_call(
                        bus, &m, SYSTEMD, SYSTEMD_PATH, SYSTEMD ".Manager", "StartTransientUnit");

        if (r >= 0)
                r = sd_bus_message_append(m, "ss", scope->unit, "fail");
        if (r >= 0)
                r = append_properties(m, scope->config, scope->qemu, reterr);
        if (r >= 0)
                r = sd_bus_message_append(m, "a(sa(sv))", 0);
        if (r >= 0)
                *ret = TAKE_PTR(m);
        return r;
}

static int refuse_unit(int r, const char *unit, const sd_bus_error *error, char **reterr) {
        return error_set(reterr, r, "cannot start the scope unit '%s': %s", unit,
                        sd_bus_error_is_set(error) && error->message ? error->message : strerror(-r));
}

/* The scope of a guest that ended a moment ago, or was killed, is about to be removed. */
static int start_once_free(sd_bus *bus, const Scope *scope, Message **ret_reply, char **reterr) {
        const struct timespec step = { .tv_nsec = STEP_NSEC };
        const uint64_t patience = MIN(scope->deadline, monotonic_usec() + BUSY_USEC);

        for (;;) {
                sd_bus_error error = SD_BUS_ERROR_NULL;
                _cleanup_message_ Message *m = NULL;
                int r = new_call(bus, scope, &m, reterr);
                bool busy;

                if (r < 0)
                        return r;
                r = call(bus, m, scope->deadline, &error, ret_reply);
                busy = r < 0 && sd_bus_error_has_name(&error, UNIT_EXISTS) && monotonic_usec() < patience;
                if (r < 0 && !busy)
                        (void) refuse_unit(r, scope->unit, &error, reterr);
                sd_bus_error_free(&error);
                if (!busy)
                        return r;
                (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &step, NULL);
        }
}

/* JobRemoved is sent to those who subscribed. */
static int subscribe(sd_bus *bus, Job *job) {
        int r = sd_bus_match_signal(bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD ".Manager", "JobRemoved",
                        on_job_removed, job);

        return r < 0 ? r
                     : sd_bus_call_method(bus, SYSTEMD, SYSTEMD_PATH, SYSTEMD ".Manager", "Subscribe", NULL,
                                       NULL, NULL);
}

static bool is_in_unit(pid_t pid, const char *unit) {
        _cleanup_free_ char *path = NULL, *groups = NULL;
        const char *found = NULL;
        size_t size;

        if (asprintf(&path, "/proc/%d/cgroup", (int) pid) < 0) {
                path = NULL;
                return false;
        }
        if (file_read_all(path, CGROUP_TEXT_MAX, &groups, &size) >= 0)
                found = strstr(groups, unit);
        return found && found > groups && found[-1] == '/' && strchr("/\n", found[strlen(unit)]);
}

/* The kernel moves no process that is about to exit, and says so to nobody: the unit's control group then never becomes empty, and the unit
 * would run for ever. */
static int stop_if_empty(sd_bus *bus, pid_t qemu, const char *unit, char **reterr) {
        if (is_in_unit(qemu, unit))
                return 0;
        (void) sd_bus_call_method(bus, SYSTEMD, SYSTEMD_PATH, SYSTEMD ".Manager", "StopUnit", NULL, NULL,
                        "ss", unit, "replace");
        return error_set(reterr, -ESRCH, "QEMU ended before it was in the scope unit '%s'", unit);
}

int scope_start(const VmConfig *config, bool user, pid_t qemu, uint64_t deadline, char **reterr) {
        _cleanup_message_ Message *reply = NULL;
        _cleanup_free_ char *unit = NULL, *result = NULL;
        _cleanup_bus_ sd_bus *bus = NULL;
        uint64_t left;
        Job job = {};
        int r = scope_name(config->machine ?: "cvm", &unit);

        if (r >= 0)
                r = open_bus(user, /* manager_only= */ true, &bus, reterr);
        if (r >= 0)
                r = time_left(deadline, &left);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(bus, left);
        if (r >= 0)
                r = subscribe(bus, &job);
        if (r >= 0)
                r = start_once_free(bus,
                                &(const Scope) { .unit = unit,
                                                .config = config,
                                                .qemu = qemu,
                                                .deadline = deadline },
                                &reply, reterr);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &job.path);
        if (r >= 0)
                r = wait_for_job(bus, &job, deadline);
        result = job.result;
        if (r < 0)
                return r;
        return streq(result, "done")
                        ? stop_if_empty(bus, qemu, unit, reterr)
                        : error_set(reterr, -EIO, "the scope unit '%s' did not start: its job ended as '%s'",
                                          unit, result);
}

static int append_registration(Message *m, const BusRegistration *b) {
        int r = sd_bus_message_append(m, "s", b->name);

        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', b->id, b->id ? 16 : 0);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssus", "cvmspawn", "vm", (uint32_t) b->leader, b->root ?: "");
        return r < 0 ? r
                     : sd_bus_message_append_array(
                                       m, 'i', &b->interface, b->interface > 0 ? sizeof(int) : 0);
}

int machine_register_by_bus(const BusRegistration *b, bool user, uint64_t deadline, char **reterr) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ Message *m = NULL;
        _cleanup_bus_ sd_bus *bus = NULL;
        int r = open_bus(user, /* manager_only= */ false, &bus, reterr);

        if (r < 0)
                return r;
        r = sd_bus_message_new_method_call(
                        bus, &m, MACHINED, MACHINED_PATH, MACHINED ".Manager", "RegisterMachineWithNetwork");
        if (r >= 0)
                r = append_registration(m, b);
        if (r >= 0)
                r = call(bus, m, deadline, &error, NULL);
        if (r < 0)
                r = sd_bus_error_has_name(&error, SD_BUS_ERROR_SERVICE_UNKNOWN)
                                ? error_set(reterr, -ESRCH, "systemd-machined is not installed")
                                : error_set(reterr, r, "%s",
                                                  sd_bus_error_is_set(&error) && error.message
                                                                  ? error.message
                                                                  : strerror(-r));
        sd_bus_error_free(&error);
        return r;
}
