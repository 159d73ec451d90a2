/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-control-parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fd.h"
#include "strutil.h"

/* Disks of the command line are named by their path, or by the id that QEMU knows them by. */
static bool is_boot_disk(const Session *s, const char *name) {
        const VmConfig *config = s->request->config;
        char id[32];

        if (config->image && (streq(name, config->image) || streq(name, "disk0")))
                return true;
        for (size_t i = 0; i < config->n_extra_drives; i++) {
                (void) snprintf(id, sizeof(id), "disk%zu", i + 1);
                if (streq(name, config->extra_drives[i].path) || streq(name, id))
                        return true;
        }
        return false;
}

/* The name, or NULL: the call has been answered. */
static const char *read_name(VarlinkCall *call, const Json *parameters) {
        const char *name = js_string_value(js_get(parameters, "name"));

        if (name && *name && strlen(name) == js_string_length(js_get(parameters, "name")))
                return name;
        varlink_error_parameter(call, "name");
        return NULL;
}

/* True with a descriptor that is the caller's; else the call has been answered. */
static bool take_descriptor(VarlinkCall *call, const Json *parameters, int *ret) {
        uint64_t index;

        *ret = js_u64_value(js_get(parameters, "fileDescriptorIndex"), &index) >= 0
                        ? varlink_call_take_fd(call, index)
                        : -EBADF;
        if (*ret >= 0)
                return true;
        varlink_error_parameter(call, "fileDescriptorIndex");
        return false;
}

static bool is_kind(const char *kind) {
        for (DiskType t = 0; t < _DISK_TYPE_MAX; t++)
                if (streq(disk_type_facts(t)->name, kind))
                        return true;
        return false;
}

/* Is it a kind of disk at all, may the guest have more disks, and can this machine take it? */
static const char *add_error(const Session *s, const char *name, const char *kind) {
        const VmConfig *config = s->request->config;

        if (is_boot_disk(s, name))
                return CONTROL_INSTANCE ".StorageExists";
        if (!is_kind(kind))
                return CONTROL_INSTANCE ".BadConfig";
        if (vm_config_confidential(config) && !(config->allow_untrusted & ALLOW_DISK))
                return "org.varlink.service.PermissionDenied";
        return CONTROL_INSTANCE ".ConfigNotSupported";
}

void control_add_storage(VarlinkCall *call, const Json *parameters, void *userdata) {
        const Json *config = js_get(parameters, "config");
        const char *kind = js_string_value(config), *name;
        _cleanup_close_ int fd = -EBADF;

        if (config && !js_is_null(config) && !kind) {
                varlink_error_parameter(call, "config");
                return;
        }
        name = read_name(call, parameters);
        if (!name || !take_descriptor(call, parameters, &fd))
                return;
        varlink_error(call, add_error(userdata, name, kind ?: "virtio-blk"), NULL);
}

void control_remove_storage(VarlinkCall *call, const Json *parameters, void *userdata) {
        const char *name = read_name(call, parameters);

        if (name)
                varlink_error(call,
                                is_boot_disk(userdata, name) ? CONTROL_INSTANCE ".StorageImmutable"
                                                             : CONTROL_INSTANCE ".NoSuchStorage",
                                NULL);
}

void control_replace_storage(VarlinkCall *call, const Json *parameters, void *userdata) {
        const char *name = read_name(call, parameters);
        _cleanup_close_ int fd = -EBADF;

        if (name && take_descriptor(call, parameters, &fd))
                varlink_error(call,
                                is_boot_disk(userdata, name) ? CONTROL_INSTANCE ".StorageImmutable"
                                                             : CONTROL_INSTANCE ".NoSuchStorage",
                                NULL);
}

void control_storage_done(_unused_ Session *s) {
}
