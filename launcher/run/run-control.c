/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the control socket offers, with systemd-vmspawn's interfaces: io.systemd.MachineInstance, and io.systemd.VirtualMachineInstance, which
 * has no methods. A method queues a command of QEMU's, whose answer is the method's: nothing is waited for. The socket is made before QEMU
 * starts, but answered only while the guest runs: until `cont` nobody but the launch decides on it. */

#include "run-control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "log.h"
#include "qmp-commands.h"
#include "run-control-parts.h"
#include "strutil.h"

static void on_pause(VarlinkCall *call, _unused_ const Json *parameters, void *userdata) {
        control_execute(call, userdata, "stop");
}

static void on_resume(VarlinkCall *call, _unused_ const Json *parameters, void *userdata) {
        control_execute(call, userdata, "cont");
}

static void on_power_off(VarlinkCall *call, _unused_ const Json *parameters, void *userdata) {
        control_execute(call, userdata, "system_powerdown");
}

/* A QEMU that is gone before it could answer has done what it was told. */
static int on_terminated(
                QmpClient *c, int error, const Json *value, const char *description, void *userdata) {
        if (error != -ECONNRESET && error != -ECANCELED)
                return control_on_done(c, error, value, description, userdata);
        varlink_reply(userdata, NULL);
        return 0;
}

static void on_terminate(VarlinkCall *call, _unused_ const Json *parameters, void *userdata) {
        Session *s = userdata;
        int r;

        s->facts.terminated = true;
        r = session_quit(s, on_terminated, call);
        if (r == -EALREADY)
                varlink_reply(call, NULL);
        else if (r < 0)
                control_error(call, r);
}

static int on_status(_unused_ QmpClient *c, int error, const Json *value, _unused_ const char *description,
                void *userdata) {
        const char *status = js_string_value(js_get(value, "status"));
        Json *j = NULL;
        bool running;
        int r = error;

        if (r >= 0)
                r = js_bool_value(js_get(value, "running"), &running) < 0 ? -EIO : 0;
        if (r >= 0)
                r = js_build(&j, "{s:b, s:s}", "running", running, "status", status ?: "unknown");
        if (r < 0)
                control_error(userdata, r);
        else
                varlink_reply(userdata, j);
        return 0;
}

static void on_describe(VarlinkCall *call, _unused_ const Json *parameters, void *userdata) {
        control_execute_full(call, userdata, "query-status", on_status);
}

static void on_subscribe(VarlinkCall *call, const Json *parameters, _unused_ void *userdata) {
        const Json *filter = js_get(parameters, "filter");
        _cleanup_strv_free_ char **topics = NULL;
        Json *first = NULL;
        int r = 0;

        if (filter && !js_is_null(filter) && !js_is_array(filter)) {
                varlink_error_parameter(call, "filter");
                return;
        }
        for (size_t i = 0; i < js_length(filter) && r >= 0; i++) {
                const char *name = js_string_value(js_at(filter, i));

                if (!name) {
                        varlink_error_parameter(call, "filter");
                        return;
                }
                r = strv_push(&topics, name);
        }
        if (r >= 0)
                r = js_build(&first, "{s:s}", "event", "READY");
        if (r < 0)
                varlink_error_errno(call, r);
        else
                varlink_subscribe(call, TAKE_PTR(topics), first);
}

static const VarlinkMethod methods[] = {
        { .name = "Terminate", .handler = on_terminate },
        { .name = "PowerOff", .handler = on_power_off },
        { .name = "Reboot", .handler = control_reboot },
        { .name = "Pause", .handler = on_pause },
        { .name = "Resume", .handler = on_resume },
        { .name = "Describe", .handler = on_describe },
        { .name = "SubscribeEvents", .handler = on_subscribe, .more = true, .parameters = { "filter" } },
        { .name = "AddStorage",
                        .handler = control_add_storage,
                        .parameters = { "fileDescriptorIndex", "name", "config" } },
        { .name = "RemoveStorage", .handler = control_remove_storage, .parameters = { "name" } },
        { .name = "ReplaceStorage",
                        .handler = control_replace_storage,
                        .parameters = { "fileDescriptorIndex", "name" } },
};

static const char instance_description[] =
                "# A running machine\n"
                "interface " CONTROL_INSTANCE "\n\n"
                "# End the machine at once\n"
                "method Terminate() -> ()\n\n"
                "# Press the power button; whether the guest powers off is its decision\n"
                "method PowerOff() -> ()\n\n"
                "# Reset the machine; not a confidential one with encrypted registers\n"
                "method Reboot() -> ()\n\n"
                "# Stop all vCPUs\n"
                "method Pause() -> ()\n\n"
                "# Let the vCPUs run\n"
                "method Resume() -> ()\n\n"
                "# Whether the vCPUs run, and QEMU's name of the state\n"
                "method Describe() -> (running: bool, status: string)\n\n"
                "# READY, and then each event of QEMU, or those named\n"
                "method SubscribeEvents(filter: ?[]string) -> (event: string, data: ?object)\n\n"
                "# Plug in a disk\n"
                "method AddStorage(fileDescriptorIndex: int, name: string, config: ?string) -> ()\n\n"
                "# Unplug a disk that AddStorage plugged in\n"
                "method RemoveStorage(name: string) -> ()\n\n"
                "# Exchange the file of a disk that AddStorage plugged in\n"
                "method ReplaceStorage(fileDescriptorIndex: int, name: string) -> ()\n\n"
                "# QEMU has ended\n"
                "error NotConnected()\n\n"
                "# Not with this machine\n"
                "error NotSupported()\n\n"
                "# A disk of this name is not there\n"
                "error NoSuchStorage()\n\n"
                "# A disk of this name is there already\n"
                "error StorageExists()\n\n"
                "# The machine was started with this disk\n"
                "error StorageImmutable()\n\n"
                "# Not a kind of disk\n"
                "error BadConfig()\n\n"
                "# A kind of disk that this machine cannot have: systemd's interface has this error, cvmspawn does not use it\n"
                "error ConfigNotSupported()\n";

static const VarlinkInterface interfaces[] = {
        {
                        "io.systemd",
                        "# Errors that all services have\n"
                        "interface io.systemd\n\n"
                        "# An error number of Linux\n"
                        "error System(origin: ?string, errnoName: ?string, errno: ?int)\n",
                        NULL,
                        0,
        },
        { CONTROL_INSTANCE, instance_description, methods, ELEMENTSOF(methods) },
        {
                        "io.systemd.VirtualMachineInstance",
                        "# What virtual machines have, and containers do not\n"
                        "interface io.systemd.VirtualMachineInstance\n",
                        NULL,
                        0,
        },
};

static const VarlinkService service = {
        .vendor = "cvmspawn",
        .product = "cvmspawn",
        .version = CVMSPAWN_VERSION,
        .url = "man:cvmspawn-control(7)",
        .interfaces = interfaces,
        .n_interfaces = ELEMENTSOF(interfaces),
};

void session_open_control(Session *s) {
        s->control_result = control_socket_open(
                        s->request->config->machine ?: "cvm", &s->control_socket, &s->control_error);
}

/* A guest runs without it, too. */
int session_start_control(Session *s) {
        int r;

        if (s->control_result < 0)
                log_notice("this guest has no control socket: %s%s",
                                s->control_error ?: strerror(-s->control_result),
                                s->control_result == -EBUSY ? " (--machine= gives it another name)" : "");
        if (s->control_socket.fd < 0)
                return 0;
        r = varlink_server_new(s->loop, &service, s, &s->control);
        return r < 0 ? r : varlink_server_listen(s->control, s->control_socket.fd);
}

void session_tell_control(Session *s, const char *event, const Json *data) {
        _cleanup_js_ Json *j = NULL;
        int r;

        if (streq(event, "RESET"))
                control_on_reset(s, data);
        else if (streq(event, "DEVICE_DELETED"))
                control_on_device_deleted(s, data);
        if (!s->control || varlink_server_n_clients(s->control) == 0)
                return;
        r = js_build(&j, "{s:s}", "event", event);
        if (r >= 0 && data)
                r = js_set(j, "data", js_ref((Json *) data));
        if (r >= 0)
                varlink_publish(s->control, event, j);
}

void session_end_control(Session *s) {
        /* Commands without an answer get theirs: it is that of the calls. */
        s->qmp = qmp_client_unref(s->qmp);
        s->rebooting = loop_source_unref(s->rebooting);
        control_storage_done(s);
        s->control = varlink_server_unref(s->control);
        control_socket_done(&s->control_socket);
        free(s->control_error);
        s->control_error = NULL;
}
