/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "qmp-commands.h"

#include <errno.h>

#include "error.h"
#include "strutil.h"

static const char *const state_table[] = {
        [QMP_STATE_OTHER] = "other",
        [QMP_STATE_PRELAUNCH] = "prelaunch",
        [QMP_STATE_RUNNING] = "running",
        [QMP_STATE_PAUSED] = "paused",
        [QMP_STATE_SHUTDOWN] = "shutdown",
        [QMP_STATE_GUEST_PANICKED] = "guest-panicked",
        [QMP_STATE_INTERNAL_ERROR] = "internal-error",
        [QMP_STATE_IO_ERROR] = "io-error",
        [QMP_STATE_WATCHDOG] = "watchdog",
        [QMP_STATE_SUSPENDED] = "suspended",
};
static_assert(ELEMENTSOF(state_table) == _QMP_STATE_MAX, "a word for each state");

static const char *const shutdown_table[] = {
        [QMP_SHUTDOWN_OTHER] = "other",
        [QMP_SHUTDOWN_HOST_ERROR] = "host-error",
        [QMP_SHUTDOWN_QUIT] = "host-qmp-quit",
        [QMP_SHUTDOWN_HOST_RESET] = "host-qmp-system-reset",
        [QMP_SHUTDOWN_SIGNAL] = "host-signal",
        [QMP_SHUTDOWN_UI] = "host-ui",
        [QMP_SHUTDOWN_GUEST] = "guest-shutdown",
        [QMP_SHUTDOWN_GUEST_RESET] = "guest-reset",
        [QMP_SHUTDOWN_GUEST_PANIC] = "guest-panic",
};
static_assert(ELEMENTSOF(shutdown_table) == _QMP_SHUTDOWN_MAX, "a word for each reason");

const char *qmp_state_to_string(QmpState s) {
        return s >= 0 && s < _QMP_STATE_MAX ? state_table[s] : NULL;
}

QmpState qmp_state_from_string(const char *s) {
        for (QmpState i = 0; s && i < _QMP_STATE_MAX; i++)
                if (streq(state_table[i], s))
                        return i;
        return QMP_STATE_OTHER;
}

const char *qmp_shutdown_to_string(QmpShutdown s) {
        return s >= 0 && s < _QMP_SHUTDOWN_MAX ? shutdown_table[s] : NULL;
}

QmpShutdown qmp_shutdown_parse(const Json *data) {
        const char *reason = js_string_value(js_get(data, "reason"));

        for (QmpShutdown i = 0; reason && i < _QMP_SHUTDOWN_MAX; i++)
                if (streq(shutdown_table[i], reason))
                        return i;
        return QMP_SHUTDOWN_OTHER;
}

int qmp_status_parse(const Json *value, QmpStatus *ret, char **reterr) {
        const char *word = js_string_value(js_get(value, "status"));
        QmpStatus s;

        if (!word || js_bool_value(js_get(value, "running"), &s.running) < 0)
                return error_set(reterr, -EBADMSG, "query-status: expected members 'status' and 'running'");
        s.state = qmp_state_from_string(word);
        *ret = s;
        return 0;
}

int qmp_query_status_wait(QmpClient *c, uint64_t timeout_usec, QmpStatus *ret, char **reterr) {
        _cleanup_js_ Json *value = NULL;
        int r = qmp_call_wait(c, "query-status", NULL, timeout_usec, &value, reterr);

        return r < 0 ? r : qmp_status_parse(value, ret, reterr);
}

int qmp_query_version_wait(QmpClient *c, uint64_t timeout_usec, QmpVersion *ret, char **reterr) {
        _cleanup_js_ Json *value = NULL;
        int r = qmp_call_wait(c, "query-version", NULL, timeout_usec, &value, reterr);

        return r < 0 ? r : qmp_version_parse(value, ret, reterr);
}

int qmp_cont(QmpClient *c, QmpReply reply, void *userdata) {
        return qmp_call(c, "cont", NULL, reply, userdata);
}

int qmp_stop(QmpClient *c, QmpReply reply, void *userdata) {
        return qmp_call(c, "stop", NULL, reply, userdata);
}

int qmp_quit(QmpClient *c, QmpReply reply, void *userdata) {
        return qmp_call(c, "quit", NULL, reply, userdata);
}

int qmp_system_powerdown(QmpClient *c, QmpReply reply, void *userdata) {
        return qmp_call(c, "system_powerdown", NULL, reply, userdata);
}

int qmp_human_monitor_command(
                QmpClient *c, const char *line, int cpu_index, QmpReply reply, void *userdata) {
        _cleanup_js_ Json *args = js_object();
        int r;

        r = js_set(args, "command-line", js_string(line));
        if (r >= 0 && cpu_index >= 0)
                r = js_set(args, "cpu-index", js_u64((unsigned) cpu_index));
        if (r < 0)
                return r;
        return qmp_call(c, "human-monitor-command", TAKE_PTR(args), reply, userdata);
}

static int parse_cpu(const Json *value, QmpCpu *ret, char **reterr) {
        static const JsField fields[] = {
                { "cpu-index", JS_FIELD_UNSIGNED, offsetof(QmpCpu, index), true, NULL },
                { "thread-id", JS_FIELD_U64, offsetof(QmpCpu, thread_id), true, NULL },
        };

        return js_dispatch(value, fields, ELEMENTSOF(fields), /* foreign= */ true, ret, reterr);
}

int qmp_query_cpus_fast_wait(
                QmpClient *c, uint64_t timeout_usec, QmpCpu **ret, size_t *ret_n, char **reterr) {
        _cleanup_js_ Json *value = NULL;
        _cleanup_free_ QmpCpu *cpus = NULL;
        size_t n;
        int r;

        r = qmp_call_wait(c, "query-cpus-fast", NULL, timeout_usec, &value, reterr);
        if (r < 0)
                return r;
        if (!js_is_array(value))
                return error_set(reterr, -EBADMSG, "query-cpus-fast: expected an array");

        n = js_length(value);
        cpus = calloc(MAX(n, (size_t) 1), sizeof(*cpus));
        if (!cpus)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = parse_cpu(js_at(value, i), cpus + i, reterr);
                if (r < 0)
                        return error_prefix(reterr, -EBADMSG, "query-cpus-fast");
        }
        *ret = TAKE_PTR(cpus);
        *ret_n = n;
        return 0;
}

/* For commands whose arguments come from a builder that may have failed. */
static int call_with(QmpClient *c, const char *command, Json *arguments, QmpReply reply, void *userdata) {
        return arguments ? qmp_call(c, command, arguments, reply, userdata) : -ENOMEM;
}

int qmp_blockdev_add(QmpClient *c, Json *arguments, QmpReply reply, void *userdata) {
        return call_with(c, "blockdev-add", arguments, reply, userdata);
}

int qmp_device_add(QmpClient *c, Json *arguments, QmpReply reply, void *userdata) {
        return call_with(c, "device_add", arguments, reply, userdata);
}

int qmp_blockdev_del(QmpClient *c, const char *node_name, QmpReply reply, void *userdata) {
        Json *args;
        int r = js_build(&args, "{s:s}", "node-name", node_name);

        return r < 0 ? r : qmp_call(c, "blockdev-del", args, reply, userdata);
}

int qmp_chardev_add(QmpClient *c, const char *id, Json *backend, QmpReply reply, void *userdata) {
        _cleanup_js_ Json *args = js_object(), *b = backend;
        int r;

        r = js_set(args, "id", js_string(id));
        if (r >= 0)
                r = js_set(args, "backend", TAKE_PTR(b));
        return r < 0 ? r : qmp_call(c, "chardev-add", TAKE_PTR(args), reply, userdata);
}

int qmp_add_fd(QmpClient *c, unsigned set, const char *opaque, int fd, QmpReply reply, void *userdata) {
        Json *args;
        int r = js_build(&args, "{s:I, s:s}", "fdset-id", (long long) set, "opaque", opaque);

        return r < 0 ? r : qmp_call_with_fd(c, "add-fd", args, fd, reply, userdata);
}

int qmp_remove_fd(QmpClient *c, unsigned set, QmpReply reply, void *userdata) {
        Json *args;
        int r = js_build(&args, "{s:I}", "fdset-id", (long long) set);

        return r < 0 ? r : qmp_call(c, "remove-fd", args, reply, userdata);
}

int qmp_getfd(QmpClient *c, const char *name, int fd, QmpReply reply, void *userdata) {
        Json *args;
        int r = js_build(&args, "{s:s}", "fdname", name);

        return r < 0 ? r : qmp_call_with_fd(c, "getfd", args, fd, reply, userdata);
}
