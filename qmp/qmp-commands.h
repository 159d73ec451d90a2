/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The commands that are not about SEV, jobs, the schema or code sampling (see qmp-sev.h, qmp-job.h, qmp-schema.h,
 * qmp-rip.h), typed. Those ending in _wait are for set-up code, as qmp_call_wait(); the others for the running machine.
 *
 * Spec: QEMU 10.0 qapi/run-state.json, qapi/machine.json, qapi/misc.json, qapi/char.json, qapi/block-core.json. */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "json.h"
#include "macro.h"
#include "qmp-client.h"

/* RunState: those a launcher tells apart; all others (migration, save and restore) are QMP_STATE_OTHER. */
typedef enum QmpState {
        QMP_STATE_OTHER,
        QMP_STATE_PRELAUNCH, /* before the first cont */
        QMP_STATE_RUNNING,
        QMP_STATE_PAUSED,
        QMP_STATE_SHUTDOWN,
        QMP_STATE_GUEST_PANICKED,
        QMP_STATE_INTERNAL_ERROR, /* KVM gave up: how the crash of an SEV-ES or SNP guest often looks */
        QMP_STATE_IO_ERROR,
        QMP_STATE_WATCHDOG,
        QMP_STATE_SUSPENDED,
        _QMP_STATE_MAX,
        _QMP_STATE_INVALID = -EINVAL,
} QmpState;

const char *qmp_state_to_string(QmpState s);
QmpState qmp_state_from_string(const char *s); /* OTHER for words that are not listed */

typedef struct QmpStatus {
        bool running;
        QmpState state;
} QmpStatus;

_warn_unused_result_ int qmp_status_parse(const Json *value, QmpStatus *ret, char **reterr);
_warn_unused_result_ int qmp_query_status_wait(
                QmpClient *c, uint64_t timeout_usec, QmpStatus *ret, char **reterr);
_warn_unused_result_ int qmp_query_version_wait(
                QmpClient *c, uint64_t timeout_usec, QmpVersion *ret, char **reterr);

/* SHUTDOWN's reason: who ended the machine. */
typedef enum QmpShutdown {
        QMP_SHUTDOWN_OTHER,       /* none, subsystem-reset, snapshot-load, or unknown to us */
        QMP_SHUTDOWN_HOST_ERROR,  /* host-error */
        QMP_SHUTDOWN_QUIT,        /* host-qmp-quit */
        QMP_SHUTDOWN_HOST_RESET,  /* host-qmp-system-reset */
        QMP_SHUTDOWN_SIGNAL,      /* host-signal */
        QMP_SHUTDOWN_UI,          /* host-ui */
        QMP_SHUTDOWN_GUEST,       /* guest-shutdown: a clean power-off */
        QMP_SHUTDOWN_GUEST_RESET, /* guest-reset: reboot, triple fault, panic=N */
        QMP_SHUTDOWN_GUEST_PANIC, /* guest-panic */
        _QMP_SHUTDOWN_MAX,
        _QMP_SHUTDOWN_INVALID = -EINVAL,
} QmpShutdown;

const char *qmp_shutdown_to_string(QmpShutdown s);
/* From the data of a SHUTDOWN event; what is not understood is OTHER. */
QmpShutdown qmp_shutdown_parse(const Json *data);

_warn_unused_result_ int qmp_cont(QmpClient *c, QmpReply reply, void *userdata);
_warn_unused_result_ int qmp_stop(QmpClient *c, QmpReply reply, void *userdata);
_warn_unused_result_ int qmp_quit(QmpClient *c, QmpReply reply, void *userdata);
/* Presses the power button; whether the guest heeds it shows in SHUTDOWN alone. */
_warn_unused_result_ int qmp_system_powerdown(QmpClient *c, QmpReply reply, void *userdata);

/* One line for the human monitor; the reply's value is its text. cpu_index < 0: the monitor's own. */
_warn_unused_result_ int qmp_human_monitor_command(
                QmpClient *c, const char *line, int cpu_index, QmpReply reply, void *userdata);

typedef struct QmpCpu {
        unsigned index;
        uint64_t thread_id; /* of QEMU's thread; under TCG several may share one */
} QmpCpu;

/* *ret: owned array; no CPUs (-machine none) is fine. */
_warn_unused_result_ int qmp_query_cpus_fast_wait(
                QmpClient *c, uint64_t timeout_usec, QmpCpu **ret, size_t *ret_n, char **reterr);

/* blockdev-add and device_add take their JSON from builders; arguments are taken. */
_warn_unused_result_ int qmp_blockdev_add(QmpClient *c, Json *arguments, QmpReply reply, void *userdata);
_warn_unused_result_ int qmp_blockdev_del(
                QmpClient *c, const char *node_name, QmpReply reply, void *userdata);
_warn_unused_result_ int qmp_device_add(QmpClient *c, Json *arguments, QmpReply reply, void *userdata);
_warn_unused_result_ int qmp_chardev_add(
                QmpClient *c, const char *id, Json *backend, QmpReply reply, void *userdata);

/* Puts a duplicate of fd (borrowed) into the set that /dev/fdset/SET opens; opaque is a label for query-fdsets. */
_warn_unused_result_ int qmp_add_fd(
                QmpClient *c, unsigned set, const char *opaque, int fd, QmpReply reply, void *userdata);
/* Removes the whole set; what was opened from it stays open. */
_warn_unused_result_ int qmp_remove_fd(QmpClient *c, unsigned set, QmpReply reply, void *userdata);
/* Names a duplicate of fd (borrowed) for netdev_add and device_add. */
_warn_unused_result_ int qmp_getfd(QmpClient *c, const char *name, int fd, QmpReply reply, void *userdata);
