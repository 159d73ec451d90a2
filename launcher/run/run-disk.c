/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The disk: opened by us, handed to the paused QEMU by QMP, plugged in before the guest starts. With --ephemeral all writes go
 * to an overlay in an unnamed temporary file. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "qmp-commands.h"
#include "qmp-job.h"
#include "run-session.h"

#define STEP_USEC   (30 * UINT64_C(1000000)) /* each is an open or a small write; slow disks need patience */
#define SET_IMAGE   11u                      /* pflash uses 1 and 2 */
#define SET_OVERLAY 12u

/* QEMU opens /dev/fdset/SET and gets a duplicate of fd. */
static int pass_fd(Session *s, unsigned set, int fd, char **reterr) {
        Json *arguments = NULL;
        int r = js_build(&arguments, "{s:i}", "fdset-id", (int) set);

        if (r < 0)
                return r;
        return qmp_call_with_fd_wait(s->qmp, "add-fd", arguments, fd, STEP_USEC, NULL, reterr);
}

static int add_file_node(Session *s, const char *node, unsigned set, bool read_only, char **reterr) {
        Json *arguments = NULL;
        char path[32];
        int r;

        (void) snprintf(path, sizeof(path), "/dev/fdset/%u", set);
        r = js_build(&arguments, "{s:s, s:s, s:s, s:b, s:s}", "driver", "file", "node-name", node,
                        "filename", path, "read-only", read_only, "discard", "unmap");
        if (r < 0)
                return r;
        return qmp_call_wait(s->qmp, "blockdev-add", arguments, STEP_USEC, NULL, reterr);
}

static int add_format_node(Session *s, const char *node, const char *driver, const char *file,
                const char *backing, bool read_only, char **reterr) {
        Json *arguments = NULL;
        int r = js_build(&arguments, "{s:s, s:s, s:s, s:b, s:s}", "driver", driver, "node-name", node,
                        "file", file, "read-only", read_only, "discard", "unmap");

        if (r >= 0 && backing)
                r = js_set(arguments, "backing", js_string(backing));
        if (r < 0)
                return r;
        return qmp_call_wait(s->qmp, "blockdev-add", arguments, STEP_USEC, NULL, reterr);
}

/* An unnamed file for the overlay: beside the image, where the room for it is, else where temporary files go. */
static int open_overlay(const char *image, char **reterr) {
        _cleanup_free_ char *directory = strdup(image);
        const char *places[2] = { NULL, "/var/tmp" };
        char *slash;
        int fd = -ENOENT;

        if (!directory)
                return -ENOMEM;
        slash = strrchr(directory, '/');
        if (slash)
                slash[slash == directory] = 0;
        places[0] = slash ? directory : ".";

        for (size_t i = 0; i < ELEMENTSOF(places) && fd < 0; i++)
                fd = fd_open(places[i], O_TMPFILE | O_RDWR, 0600);
        if (fd < 0)
                return error_set(reterr, fd,
                                "--ephemeral: cannot make an unnamed temporary file beside '%s' or in "
                                "/var/tmp: %s",
                                image, strerror(-fd));
        return fd;
}

static int query_size(Session *s, const char *node, uint64_t *ret, char **reterr) {
        _cleanup_js_ Json *nodes = NULL;
        int r = qmp_call_wait(s->qmp, "query-named-block-nodes", NULL, STEP_USEC, &nodes, reterr);

        if (r < 0)
                return r;
        for (size_t i = 0; i < js_length(nodes); i++) {
                const char *name = js_string_value(js_get(js_at(nodes, i), "node-name"));

                if (name && strcmp(name, node) == 0)
                        return js_u64_value(js_get(js_get(js_at(nodes, i), "image"), "virtual-size"), ret);
        }
        return error_set(reterr, -ENODATA, "QEMU does not know the size of the image");
}

static int add_overlay(Session *s, const char *image, char **reterr) {
        _cleanup_close_ int fd = open_overlay(image, reterr);
        Json *options = NULL;
        uint64_t size;
        int r;

        if (fd < 0)
                return fd;
        r = query_size(s, "disk-base", &size, reterr);
        if (r < 0)
                return r;
        r = pass_fd(s, SET_OVERLAY, fd, reterr);
        if (r < 0)
                return r;
        r = add_file_node(s, "overlay-file", SET_OVERLAY, /* read_only= */ false, reterr);
        if (r < 0)
                return r;
        r = js_build(&options, "{s:s, s:s, s:I}", "driver", "qcow2", "file", "overlay-file", "size",
                        (long long) size);
        if (r < 0)
                return r;
        r = qmp_blockdev_create_wait(s->qmp, "make-overlay", options, STEP_USEC, reterr);
        if (r < 0)
                return r;
        return add_format_node(
                        s, "disk", "qcow2", "overlay-file", "disk-base", /* read_only= */ false, reterr);
}

static int plug_in(Session *s, char **reterr) {
        Json *arguments = NULL;
        int r = js_build(&arguments, "{s:s, s:s, s:s, s:s, s:i}", "driver", "virtio-blk-pci", "id", "disk0",
                        "bus", "disk-port", "drive", "disk", "bootindex", 1);

        if (r >= 0 && s->request->config->coco != SEV_MODE_NONE && !s->request->choices->simulated) {
                r = js_set(arguments, "disable-legacy", js_string("on"));
                if (r >= 0)
                        r = js_set(arguments, "iommu_platform", js_bool(true));
        }
        if (r < 0)
                return r;
        return qmp_call_wait(s->qmp, "device_add", arguments, STEP_USEC, NULL, reterr);
}

int session_add_disk(Session *s, char **reterr) {
        const VmConfig *config = s->request->config;
        const char *format = s->request->inputs->image_format == IMAGE_FORMAT_QCOW2 ? "qcow2" : "raw";
        bool read_only = config->ephemeral;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!config->image)
                return 0;
        fd = fd_open(config->image, (read_only ? O_RDONLY : O_RDWR) | O_NOCTTY, 0);
        if (fd < 0)
                return error_set(reterr, fd, "--image: cannot open '%s' for %s: %s%s", config->image,
                                read_only ? "reading" : "writing", strerror(-fd),
                                read_only ? "" : "; with --ephemeral reading is enough");
        r = pass_fd(s, SET_IMAGE, fd, reterr);
        if (r >= 0)
                r = add_file_node(s, "disk-file", SET_IMAGE, read_only, reterr);
        if (r >= 0)
                r = add_format_node(s, read_only ? "disk-base" : "disk", format, "disk-file", NULL,
                                read_only, reterr);
        if (r >= 0 && read_only)
                r = add_overlay(s, config->image, reterr);
        if (r >= 0)
                r = plug_in(s, reterr);
        return r < 0 ? error_prefix(reterr, r, "--image") : 0;
}
