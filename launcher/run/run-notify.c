/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <systemd/sd-daemon.h>

#include "run-session.h"

/* Goes nowhere when no manager started us ($NOTIFY_SOCKET unset); a manager that is gone does not matter to the guest. */
void session_notify_manager(Session *s, const char *line) {
        if (s->request->config->notify_ready == TRISTATE_NO)
                return;
        (void) sd_notify(/* unset_environment= */ 0, line);
}
