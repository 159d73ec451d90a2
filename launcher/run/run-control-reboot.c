/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reboot of the control socket. QEMU was told to end where the guest resets (-no-reboot), which it looks at when a reset is asked for: this is
 * suspended for one reset of ours, and for the one that SeaBIOS adds where it finds that it has run before. */

#include <errno.h>

#include "log.h"
#include "run-control-parts.h"

#define AGAIN_USEC (10 * UINT64_C(1000000)) /* for SeaBIOS, which takes milliseconds with KVM */

/* Queues set-action. */
static int set_action(Session *s, const char *action) {
        Json *arguments = NULL;
        int r = js_build(&arguments, "{s:s}", "reboot", action);

        return r < 0 ? r : qmp_call(s->qmp, "set-action", arguments, NULL, NULL);
}

static void end_at_resets(Session *s) {
        s->rebooting = loop_source_unref(s->rebooting);
        if (s->qmp && set_action(s, "shutdown") < 0)
                log_warning("control socket: the guest's own reboots do not end it any more");
}

static int on_time(_unused_ LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        end_at_resets(userdata);
        return 0;
}

void control_on_reset(Session *s, const Json *data) {
        bool guest;

        if (s->rebooting && js_bool_value(js_get(data, "guest"), &guest) >= 0 && guest)
                end_at_resets(s);
}

void control_reboot(VarlinkCall *call, _unused_ const Json *parameters, void *userdata) {
        Session *s = userdata;
        int r;

        if (s->request->config->reset) {
                control_execute(call, s, "system_reset");
                return;
        }
        /* Registers that are encrypted cannot be set back, and what a guest owner has verified is one launch. */
        if (coco_of(s->request->config->coco)->encrypted_registers ||
                        vm_config_attested(s->request->config)) {
                varlink_error(call, CONTROL_INSTANCE ".NotSupported", NULL);
                return;
        }
        s->rebooting = loop_source_unref(s->rebooting);
        r = loop_add_timer(s->loop, AGAIN_USEC, on_time, s, &s->rebooting);
        if (r >= 0)
                r = s->qmp ? set_action(s, "reset") : -ENOTCONN;
        if (r < 0)
                control_error(call, r);
        else
                control_execute(call, s, "system_reset");
}
