/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Firmware, kernel, initrd, words, the table of a simulated launch, and strings by SMBIOS or fw_cfg. */

#include <inttypes.h>
#include <stdio.h>

#include "compose-parts.h"

/* A descriptor of ours as a block node: QEMU opens /dev/fdset/SET, which -add-fd fills. */
static void add_pflash(Composer *c, const char *node, int fd, unsigned set, bool read_only) {
        char path[32];

        (void) snprintf(path, sizeof(path), "/dev/fdset/%u", set);
        compose_addf(c, "-add-fd", "fd=%d,set=%u,opaque=%s", fd, set, node);
        compose_build(c, "-blockdev", "{s:s, s:s, s:s, s:b}", "driver", "file", "node-name", node,
                        "filename", path, "read-only", read_only);
}

static void compose_firmware(Composer *c) {
        switch (c->inputs->firmware_kind) {
        case FIRMWARE_KIND_SEABIOS:
                break;
        case FIRMWARE_KIND_ROM:
                compose_add(c, "-bios", c->inputs->firmware, NULL);
                break;
        case FIRMWARE_KIND_PFLASH:
                add_pflash(c, "pflash0-file", LAUNCH_FD_FIRMWARE, 1, true);
                add_pflash(c, "pflash1-file", LAUNCH_FD_NVRAM, 2, false);
                if (c->inputs->firmware_smm)
                        compose_add(c, "-global", "driver=cfi.pflash01,property=secure,value=on", NULL);
                break;
        default:
                assert(false);
        }
}

void compose_boot(Composer *c) {
        const LaunchInputs *in = c->inputs;

        compose_firmware(c);
        if (c->tables) {
                compose_fd(c, LAUNCH_FD_FIRMWARE);
                return;
        }
        if (in->kernel)
                compose_add(c, "-kernel", in->kernel, NULL);
        if (in->initrd)
                compose_add(c, "-initrd", in->initrd, NULL);
        if (in->cmdline)
                compose_add(c, "-append", in->cmdline, NULL);

        if (c->choices->simulated)
                compose_vendor(coco_of(in->plan.mode))->simulate(c);

        /* The command line is in a memory file for the measure program only. */
        for (size_t i = 0; i < in->n_fds; i++)
                if (in->fds[i] != LAUNCH_FD_CMDLINE)
                        compose_fd(c, in->fds[i]);
}

void compose_strings(Composer *c) {
        FOREACH_ARRAY(s, c->inputs->strings, c->inputs->n_strings) {
                if (s->kind == STRING_SMBIOS11)
                        compose_addf(c, "-smbios", "type=11,path=/proc/self/fd/%d", s->fd);
                else
                        compose_addf(c, "-fw_cfg", "name=%s,file=/proc/self/fd/%d", s->name, s->fd);
                compose_fd(c, s->fd);
        }
}
