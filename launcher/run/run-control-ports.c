/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The spare ports of the root complex, which a device can be plugged into while the guest runs, and the SCSI bus that the first SCSI disk brings
 * with it where the machine was started without one. The bus stays: the guest may have other disks on it by the time one goes. */

#include <errno.h>
#include <stdio.h>

#include "run-control-parts.h"
#include "run-nodes.h"

int control_take_port(Session *s) {
        for (unsigned i = 0; i < vm_config_hot_ports(s->request->config); i++)
                if (!(s->hot_ports & 1u << i)) {
                        s->hot_ports |= 1u << i;
                        return (int) i;
                }
        return -ENOSPC;
}

void control_release_port(Session *s, int port) {
        if (port >= 0)
                s->hot_ports &= ~(1u << port);
}

void control_port_name(int port, char ret[static PORT_NAME_SIZE]) {
        (void) snprintf(ret, PORT_NAME_SIZE, HOT_PORT, (unsigned) port);
}

bool control_has_scsi_bus(const Session *s) {
        return s->hot_scsi || session_has_scsi_bus(s->request->config);
}

int control_scsi_bus(Session *s, Json **ret) {
        char port_name[PORT_NAME_SIZE];
        int port = control_take_port(s), r;
        Json *j = NULL;

        if (port < 0)
                return port;
        control_port_name(port, port_name);
        r = js_build(&j, "{s:s, s:s, s:s}", "driver", "virtio-scsi-pci", "id", "scsi0", "bus", port_name);
        if (r >= 0)
                r = session_set_confidential(s, j);
        if (r < 0) {
                j = js_unref(j);
                control_release_port(s, port);
                return r;
        }
        s->hot_scsi = true;
        s->hot_scsi_port = port;
        *ret = j;
        return 0;
}

void control_no_scsi_bus(Session *s) {
        s->hot_scsi = false;
        control_release_port(s, s->hot_scsi_port);
}
