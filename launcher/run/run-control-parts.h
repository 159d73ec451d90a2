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

/* run-control-reboot.c */
void control_reboot(VarlinkCall *call, const Json *parameters, void *userdata);
void control_on_reset(Session *s, const Json *data);

/* run-control-storage.c: disks that come and go while the guest runs. */
void control_add_storage(VarlinkCall *call, const Json *parameters, void *userdata);
void control_remove_storage(VarlinkCall *call, const Json *parameters, void *userdata);
void control_replace_storage(VarlinkCall *call, const Json *parameters, void *userdata);
void control_storage_done(Session *s);
void control_on_device_deleted(Session *s, const Json *data);
