/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Command lines of other launchers, in all the forms in which they are written down: words, options, what they launch. No file that they
 * name is opened. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "foreign-launch.h"
#include "foreign-lines.h"
#include "foreign-vmspawn.h"
#include "strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_qemu(char *const *argv) {
        const ForeignPlace place = {};
        _cleanup_(qemu_line_done) QemuLine line = { .place = &place };
        _cleanup_(foreign_launch_done) ForeignLaunch l = {};
        _cleanup_strv_free_ char **again = NULL;
        _cleanup_free_ char *error = NULL;

        STRV_FOREACH(s, argv)
                if (strstr(*s, "readconfig"))
                        return;
        if (qemu_line_read(&line, argv, &error) < 0 || foreign_launch_read(&line, &l, &error) < 0) {
                if (!error)
                        abort();
                return;
        }
        if (l.vcpus == 0 || l.mode == COCO_NONE)
                abort();
        if (foreign_launch_argv(&line, &l, &again, &error) < 0 && !error)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(vmspawn_line_done) VmspawnLine vmspawn = {};
        _cleanup_(foreign_lines_done) ForeignLines lines = {};
        _cleanup_free_ char *text = strndup((const char *) data, size), *copy = malloc(size + 1),
                            *error = NULL, *vmspawn_error = NULL;

        if (!text || !copy)
                abort();
        memcpy(copy, data, size);
        copy[size] = 0;
        if (foreign_lines_read(copy, size, &lines, &error) < 0 && !error)
                abort();
        FOREACH_ARRAY(l, lines.items, lines.n_items)
                read_qemu(l->argv);
        if (vmspawn_line_read(text, "xterm", NULL, &vmspawn, &vmspawn_error) < 0 && !vmspawn_error)
                abort();
        return 0;
}
