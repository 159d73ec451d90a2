/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the control socket's methods share and nobody else includes. */

#include "run-session.h"

#define CONTROL_INSTANCE "io.systemd.MachineInstance"

/* run-control-call.c: answers with what an error of QMP means. */
void control_error(VarlinkCall *call, int error);
/* Queues a command without arguments, whose answer is the call's. */
void control_execute(VarlinkCall *call, Session *s, const char *command);
/* The same, with a reply of the caller's, who gets the call as userdata. */
void control_execute_full(VarlinkCall *call, Session *s, const char *command, QmpReply reply);
/* A reply that answers the call with nothing but success or failure. */
int control_on_done(QmpClient *c, int error, const Json *value, const char *description, void *userdata);

/* The name of a disk that comes with a call, or NULL: the call has been answered. */
const char *control_disk_name(VarlinkCall *call, const Json *parameters);
/* The file that comes with a call. */
typedef struct ControlFile {
        int fd; /* owned */
        bool read_only, block_device;
} ControlFile;
void control_file_done(ControlFile *d);
/* False: the call has been answered. */
_warn_unused_result_ bool control_take_file(VarlinkCall *call, const Json *parameters, ControlFile *ret);

/* run-control-reboot.c */
void control_reboot(VarlinkCall *call, const Json *parameters, void *userdata);
void control_on_reset(Session *s, const Json *data);

/* run-control-storage.c: disks that come and go while the guest runs. */
void control_add_storage(VarlinkCall *call, const Json *parameters, void *userdata);
void control_remove_storage(VarlinkCall *call, const Json *parameters, void *userdata);
void control_replace_storage(VarlinkCall *call, const Json *parameters, void *userdata);
/* run-control-ports.c: a spare port for a device, or -ENOSPC. */
_warn_unused_result_ int control_take_port(Session *s);
/* Takes -EBADF. */
void control_release_port(Session *s, int port);
/* The name of the port that a device is plugged into. */
#define PORT_NAME_SIZE 24
void control_port_name(int port, char ret[static PORT_NAME_SIZE]);
/* The machine has a bus for SCSI disks. */
bool control_has_scsi_bus(const Session *s);
/* What plugs one into a spare port. The port is given back if QEMU refuses: control_no_scsi_bus(). */
_warn_unused_result_ int control_scsi_bus(Session *s, Json **ret);
void control_no_scsi_bus(Session *s);
void control_storage_done(Session *s);
void control_on_device_deleted(Session *s, const Json *data);
