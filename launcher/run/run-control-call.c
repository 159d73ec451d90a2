/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a call of the control socket to a command of QEMU's, and back. */

#include <errno.h>

#include "log.h"
#include "run-control-parts.h"

/* QEMU could not do it, or is gone. */
void control_error(VarlinkCall *call, int error) {
        if (error == -ECONNRESET || error == -ECANCELED || error == -ENOTCONN)
                varlink_error(call, CONTROL_INSTANCE ".NotConnected", NULL);
        else
                varlink_error_errno(call, error == -EREMOTEIO ? -EIO : error);
}

int control_on_done(_unused_ QmpClient *c, int error, _unused_ const Json *value, const char *description,
                void *userdata) {
        VarlinkCall *call = userdata;

        if (error == -EREMOTEIO)
                log_notice("control socket: QEMU refused a command: %s", description);
        if (error < 0)
                control_error(call, error);
        else
                varlink_reply(call, NULL);
        return 0;
}

void control_execute_full(VarlinkCall *call, Session *s, const char *command, QmpReply reply) {
        int r = s->qmp ? qmp_call(s->qmp, command, NULL, reply, call) : -ENOTCONN;

        if (r < 0)
                control_error(call, r);
}

void control_execute(VarlinkCall *call, Session *s, const char *command) {
        control_execute_full(call, s, command, control_on_done);
}
