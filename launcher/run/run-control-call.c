/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a call of the control socket to a command of QEMU's, and back. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"
#include "log.h"
#include "run-control-parts.h"

#define HOT_NAME_MAX 255u

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

const char *control_disk_name(VarlinkCall *call, const Json *parameters) {
        const char *name = js_string_value(js_get(parameters, "name"));

        if (name && *name && strlen(name) == js_string_length(js_get(parameters, "name")) &&
                        strlen(name) <= HOT_NAME_MAX)
                return name;
        varlink_error_parameter(call, "name");
        return NULL;
}

void control_file_done(ControlFile *d) {
        d->fd = fd_close(d->fd);
}

bool control_take_file(VarlinkCall *call, const Json *parameters, ControlFile *ret) {
        struct stat st;
        uint64_t index;
        int flags;

        ret->fd = js_u64_value(js_get(parameters, "fileDescriptorIndex"), &index) >= 0
                        ? varlink_call_take_fd(call, index)
                        : -EBADF;
        if (ret->fd < 0) {
                varlink_error_parameter(call, "fileDescriptorIndex");
                return false;
        }
        flags = fcntl(ret->fd, F_GETFL);
        if (flags < 0 || flags & O_PATH || (flags & O_ACCMODE) == O_WRONLY || fstat(ret->fd, &st) < 0) {
                varlink_error_errno(call, EBADF);
                return false;
        }
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
                varlink_error_errno(call, S_ISDIR(st.st_mode) ? EISDIR : EINVAL);
                return false;
        }
        ret->read_only = (flags & O_ACCMODE) == O_RDONLY;
        ret->block_device = S_ISBLK(st.st_mode);
        return true;
}
