/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Disks that come and go while the guest runs: SCSI disks on their bus, which takes them at any time, the others in spare ports
 * (run-control-ports.c). All commands of a change are queued at once, since QEMU works them off in order: where one fails, those behind it fail,
 * too, and what succeeded is taken back. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "qmp-commands.h"
#include "run-control-parts.h"
#include "run-nodes.h"
#include "strutil.h"

#define HOT_DISKS_MAX 16u

typedef struct HotDisk HotDisk;
struct HotDisk {
        HotDisk *next;
        Session *session; /* weak */
        char *name;       /* owned */
        const DiskTypeFacts *type;
        char device[24], node[24], file[24]; /* as QEMU knows them */
        int port;                            /* a spare one; -EBADF: it is on the SCSI bus */
        char new_file[24];                   /* while its file is exchanged */

        VarlinkCall *call; /* of the change that is going on; NULL: none */
        unsigned pending;  /* its commands without an answer */
        int error;         /* the first of them */
        bool plugged;
        bool gone; /* unplugged during the change */
};

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

static HotDisk *find_disk(const Session *s, const char *name) {
        HotDisk *d = s->hot_disks;

        while (d && !streq(d->name, name))
                d = d->next;
        return d;
}

static void free_disk(HotDisk *d) {
        HotDisk **p = &d->session->hot_disks;

        while (*p && *p != d)
                p = &(*p)->next;
        if (*p)
                *p = d->next;
        control_release_port(d->session, d->port);
        free(d->name);
        free(d);
}

void control_storage_done(Session *s) {
        while (s->hot_disks)
                free_disk(s->hot_disks);
}

/* A change, as commands ------------------------------------------------------------------------------------------- */

static void finish_change(HotDisk *d);

static int on_step(_unused_ QmpClient *c, int error, _unused_ const Json *value, const char *description,
                void *userdata) {
        HotDisk *d = userdata;

        if (error < 0 && d->error == 0) {
                d->error = error;
                if (error == -EREMOTEIO)
                        log_notice("control socket: QEMU refused disk '%s': %s", d->name, description);
        }
        if (--d->pending == 0)
                finish_change(d);
        return 0;
}

/* Queues a command of the change; takes arguments. */
static void step(HotDisk *d, const char *command, Json *arguments, int fd) {
        QmpClient *qmp = d->session->qmp;
        int r;

        if (!arguments)
                r = -ENOMEM;
        else if (fd >= 0)
                r = qmp_call_with_fd(qmp, command, arguments, fd, on_step, d);
        else
                r = qmp_call(qmp, command, arguments, on_step, d);
        if (r >= 0)
                d->pending++;
        else if (d->error == 0)
                d->error = r;
}

#define ARGUMENTS(...)                                                                                      \
        ({                                                                                                  \
                Json *_j_ = NULL;                                                                           \
                js_build(&_j_, __VA_ARGS__) < 0 ? NULL : _j_;                                               \
        })

/* The node of the file's bytes: QEMU opens nothing by name. */
static void add_file(HotDisk *d, const char *node, const ControlFile *f) {
        int set = (int) (NODE_SET_FIRST + d->session->n_fdsets++);
        char path[32];

        (void) snprintf(path, sizeof(path), "/dev/fdset/%d", set);
        step(d, "add-fd", ARGUMENTS("{s:i}", "fdset-id", set), f->fd);
        step(d, "blockdev-add",
                        ARGUMENTS("{s:s, s:s, s:s, s:b, s:s}", "driver",
                                        f->block_device ? "host_device" : "file", "node-name", node,
                                        "filename", path, "read-only", f->read_only || d->type->read_only,
                                        "discard", "unmap"),
                        -EBADF);
        /* It stays open as long as the node is there. */
        step(d, "remove-fd", ARGUMENTS("{s:i}", "fdset-id", set), -EBADF);
}

/* Always raw: what a guest has written does not decide how it is read. */
static Json *format_options(const HotDisk *d, const char *file, bool read_only) {
        return ARGUMENTS("{s:s, s:s, s:s, s:b, s:s}", "driver", "raw", "node-name", d->node, "file", file,
                        "read-only", read_only || d->type->read_only, "discard", "unmap");
}

static void delete_node(HotDisk *d, const char *node) {
        if (d->session->qmp)
                (void) !qmp_blockdev_del(d->session->qmp, node, NULL, NULL);
}

/* The guest does not have it any more. */
static void forget_disk(HotDisk *d) {
        delete_node(d, d->node);
        delete_node(d, d->file);
        free_disk(d);
}

/* All commands are queued, or could not be. */
static void end_of_queue(HotDisk *d) {
        if (d->pending == 0)
                finish_change(d);
}

static void finish_change(HotDisk *d) {
        VarlinkCall *call = TAKE_PTR(d->call);
        int error = d->error;

        d->error = 0;
        if (d->plugged) {
                delete_node(d, error < 0 ? d->new_file : d->file);
                if (error >= 0)
                        (void) snprintf(d->file, sizeof(d->file), "%s", d->new_file);
        } else
                d->plugged = error >= 0;
        if (!d->plugged || d->gone)
                forget_disk(d);
        if (error < 0)
                control_error(call, error);
        else
                varlink_reply(call, NULL);
}

/* Methods --------------------------------------------------------------------------------------------------------- */

static const DiskTypeFacts *find_kind(const char *kind) {
        for (DiskType t = 0; t < _DISK_TYPE_MAX; t++)
                if (streq(disk_type_facts(t)->name, kind))
                        return disk_type_facts(t);
        return NULL;
}

/* Is it a kind of disk at all, is the name free, and may the guest have more disks? */
static const char *add_error(const Session *s, const char *name, const DiskTypeFacts *type) {
        const VmConfig *config = s->request->config;

        if (!type)
                return CONTROL_INSTANCE ".BadConfig";
        if (is_boot_disk(s, name) || find_disk(s, name))
                return CONTROL_INSTANCE ".StorageExists";
        if (vm_config_confidential(config) && !(config->allow_untrusted & ALLOW_DISK))
                return "org.varlink.service.PermissionDenied";
        return NULL;
}

static int new_disk(Session *s, const char *name, const DiskTypeFacts *type, HotDisk **ret) {
        HotDisk *d = calloc(1, sizeof(*d));
        unsigned number = s->n_hot_disks++;

        if (!d)
                return -ENOMEM;
        *d = (HotDisk) {
                .session = s, .type = type, .name = strdup(name), .port = -EBADF, .next = s->hot_disks
        };
        if (!d->name) {
                free(d);
                return -ENOMEM;
        }
        (void) snprintf(d->device, sizeof(d->device), "hot-disk%u", number);
        (void) snprintf(d->node, sizeof(d->node), "hot%u", number);
        (void) snprintf(d->file, sizeof(d->file), "hot%u-file", number);
        s->hot_disks = d;
        *ret = d;
        return 0;
}

static int on_bus(QmpClient *c, int error, const Json *value, const char *description, void *userdata) {
        HotDisk *d = userdata;

        if (error < 0)
                control_no_scsi_bus(d->session);
        return on_step(c, error, value, description, d);
}

/* What the disk is plugged into: its bus, which may have to come first. */
static int prepare_bus(HotDisk *d, char bus[static PORT_NAME_SIZE]) {
        Session *s = d->session;
        Json *arguments = NULL;
        int r;

        if (!d->type->scsi) {
                d->port = control_take_port(s);
                if (d->port < 0)
                        return d->port;
                control_port_name(d->port, bus);
                return 0;
        }
        (void) snprintf(bus, PORT_NAME_SIZE, "scsi0.0");
        if (control_has_scsi_bus(s))
                return 0;
        r = control_scsi_bus(s, &arguments);
        if (r >= 0)
                r = qmp_call(s->qmp, "device_add", arguments, on_bus, d);
        if (r >= 0)
                d->pending++;
        else if (s->hot_scsi)
                control_no_scsi_bus(s);
        return r;
}

static Json *device_options(const HotDisk *d, const char *bus) {
        char serial[DISK_SERIAL_MAX + 1];
        Json *j;

        disk_make_serial(d->name, d->type->serial_max, serial);
        j = ARGUMENTS("{s:s, s:s, s:s, s:s, s:s}", "driver", d->type->driver, "id", d->device, "bus", bus,
                        "drive", d->node, "serial", serial);
        if (j && d->type->virtio && session_set_confidential(d->session, j) < 0)
                return js_unref(j);
        return j;
}

static void plug_in(Session *s, VarlinkCall *call, const char *name, const DiskTypeFacts *type,
                const ControlFile *file) {
        char bus[PORT_NAME_SIZE];
        HotDisk *d;
        size_t n = 0;
        int r;

        for (d = s->hot_disks; d; d = d->next)
                n++;
        r = n < HOT_DISKS_MAX ? new_disk(s, name, type, &d) : -ENOSPC;
        if (r < 0) {
                varlink_error_errno(call, r);
                return;
        }
        d->call = call;
        d->error = prepare_bus(d, bus);
        if (d->error >= 0) {
                add_file(d, d->file, file);
                step(d, "blockdev-add", format_options(d, d->file, file->read_only), -EBADF);
                step(d, "device_add", device_options(d, bus), -EBADF);
        }
        end_of_queue(d);
}

void control_add_storage(VarlinkCall *call, const Json *parameters, void *userdata) {
        const Json *config = js_get(parameters, "config");
        const char *kind = js_string_value(config), *name, *error;
        _cleanup_(control_file_done) ControlFile file = { .fd = -EBADF };
        const DiskTypeFacts *type;

        if (config && !js_is_null(config) && !kind) {
                varlink_error_parameter(call, "config");
                return;
        }
        name = control_disk_name(call, parameters);
        if (!name || !control_take_file(call, parameters, &file))
                return;
        type = find_kind(kind ?: "virtio-blk");
        error = add_error(userdata, name, type);
        if (error)
                varlink_error(call, error, NULL);
        else
                plug_in(userdata, call, name, type, &file);
}

/* The disk, if it can be changed now; else the call has been answered. */
static HotDisk *changeable(VarlinkCall *call, const Session *s, const char *name) {
        HotDisk *d = find_disk(s, name);

        if (!d)
                varlink_error(call,
                                is_boot_disk(s, name) ? CONTROL_INSTANCE ".StorageImmutable"
                                                      : CONTROL_INSTANCE ".NoSuchStorage",
                                NULL);
        else if (d->call) {
                varlink_error_errno(call, EBUSY);
                d = NULL;
        }
        return d;
}

void control_remove_storage(VarlinkCall *call, const Json *parameters, void *userdata) {
        const char *name = control_disk_name(call, parameters);
        HotDisk *d = name ? changeable(call, userdata, name) : NULL;
        Json *arguments;
        int r;

        if (!d)
                return;
        arguments = ARGUMENTS("{s:s}", "id", d->device);
        r = arguments ? qmp_call(d->session->qmp, "device_del", arguments, control_on_done, call) : -ENOMEM;
        if (r < 0)
                control_error(call, r);
}

/* The guest has let go of it. */
void control_on_device_deleted(Session *s, const Json *data) {
        const char *device = js_string_value(js_get(data, "device"));

        for (HotDisk *d = s->hot_disks, *next; d; d = next) {
                next = d->next;
                if (!device || !streq(d->device, device))
                        continue;
                if (d->call)
                        d->gone = true;
                else
                        forget_disk(d);
        }
}

void control_replace_storage(VarlinkCall *call, const Json *parameters, void *userdata) {
        const char *name = control_disk_name(call, parameters);
        _cleanup_(control_file_done) ControlFile file = { .fd = -EBADF };
        Json *list = NULL;
        HotDisk *d;

        if (!name || !control_take_file(call, parameters, &file))
                return;
        d = changeable(call, userdata, name);
        if (!d)
                return;
        d->call = call;
        (void) snprintf(d->new_file, sizeof(d->new_file), "hot-file%u", d->session->n_hot_disks++);
        add_file(d, d->new_file, &file);
        list = js_array();
        if (list && js_append(list, format_options(d, d->new_file, file.read_only)) < 0)
                list = js_unref(list);
        step(d, "blockdev-reopen", list ? ARGUMENTS("{s:o}", "options", list) : NULL, -EBADF);
        end_of_queue(d);
}
