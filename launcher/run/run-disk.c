/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The disks: opened by us, handed to the paused QEMU by QMP, plugged in before the guest starts. With --ephemeral all writes to the image
 * go to an overlay in an unnamed temporary file. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "image-chain.h"
#include "qmp-commands.h"
#include "qmp-job.h"
#include "run-check.h"
#include "run-nodes.h"
#include "run-volume.h"

#define IN_USE "is in use, perhaps by another guest, which must end first"

/* One disk, as QEMU is told of it. */
typedef struct Disk {
        const char *option, *path;
        ImageFormat format; /* never AUTO */
        const DiskTypeFacts *type;
        const char *node;          /* that the device works on */
        const char *device;        /* its id */
        const char *port;          /* where it is plugged in, unless that is the SCSI bus */
        bool boot, ephemeral;      /* only the image can be */
        const DriveSource *volume; /* weak: of a storage provider; NULL: path is a file or device */
} Disk;

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
                                "--ephemeral: cannot create an unnamed temporary file beside '%s' or in /var/tmp: %s",
                                image, strerror(-fd));
        return fd;
}

static int query_size(Session *s, const char *node, uint64_t *ret, char **reterr) {
        _cleanup_js_ Json *nodes = NULL;
        int r = qmp_call_wait(s->qmp, "query-named-block-nodes", NULL, NODE_USEC, &nodes, reterr);

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
        if (size < s->request->config->grow_image)
                size = s->request->config->grow_image;
        r = node_add_file(s, &(const FileNode) { "overlay-file", fd, .read_only = false }, reterr);
        if (r < 0)
                return r;
        r = js_build(&options, "{s:s, s:s, s:I}", "driver", "qcow2", "file", "overlay-file", "size",
                        (long long) size);
        if (r < 0)
                return r;
        r = qmp_blockdev_create_wait(s->qmp, "make-overlay", options, NODE_USEC, reterr);
        if (r < 0)
                return r;
        return node_add_format(s,
                        &(const FormatNode) { .node = "disk",
                                        .file = "overlay-file",
                                        .format = IMAGE_FORMAT_QCOW2,
                                        .backing = "disk-base" },
                        reterr);
}

/* The name of the file, by which the guest finds the disk in /dev/disk/by-id. A name too long for the device is cut, and a checksum
 * (FNV-1a, 32 bits) of the whole name stands behind it. */
void disk_make_serial(const char *path, size_t max, char ret[static DISK_SERIAL_MAX + 1]) {
        const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
        uint32_t sum = UINT32_C(2166136261);

        if (strlen(name) <= max) {
                (void) snprintf(ret, DISK_SERIAL_MAX + 1, "%s", name);
                return;
        }
        for (const char *p = name; *p; p++)
                sum = (sum ^ (uint8_t) *p) * UINT32_C(16777619);
        (void) snprintf(ret, DISK_SERIAL_MAX + 1, "%.*s-%08x", (int) max - 9, name, (unsigned) sum);
}

/* Modern virtio with DMA to shared pages: see compose-devices.c. */
int session_set_confidential(const Session *s, Json *device) {
        int r = 0;

        if (vm_config_confidential(s->request->config) && !s->request->choices->simulated) {
                r = js_set(device, "disable-legacy", js_string("on"));
                if (r >= 0)
                        r = js_set(device, "iommu_platform", js_bool(true));
        }
        return r;
}

static int plug_in(Session *s, const Disk *disk, char **reterr) {
        char serial[DISK_SERIAL_MAX + 1];
        Json *arguments = NULL;
        int r;

        disk_make_serial(disk->path, disk->type->serial_max, serial);
        r = js_build(&arguments, "{s:s, s:s, s:s, s:s, s:s}", "driver", disk->type->driver, "id",
                        disk->device, "bus", disk->type->scsi ? "scsi0.0" : disk->port, "drive", disk->node,
                        "serial", serial);
        if (r >= 0 && disk->boot)
                r = js_set(arguments, "bootindex", js_u64(1));
        if (r >= 0 && disk->type->virtio)
                r = session_set_confidential(s, arguments);
        if (r < 0)
                return r;
        return qmp_call_wait(s->qmp, "device_add", arguments, NODE_USEC, NULL, reterr);
}

static int add_scsi_bus(Session *s, char **reterr) {
        Json *arguments = NULL;
        int r = js_build(&arguments, "{s:s, s:s, s:s}", "driver", "virtio-scsi-pci", "id", "scsi0", "bus",
                        SCSI_PORT);

        if (r >= 0)
                r = session_set_confidential(s, arguments);
        if (r < 0)
                return r;
        return qmp_call_wait(s->qmp, "device_add", arguments, NODE_USEC, NULL, reterr);
}

/* QEMU locks bytes 100 to 299 of an image that it uses (block/file-posix.c, RAW_LOCK_PERM_BASE and RAW_LOCK_SHARED_BASE). */
static bool in_use(int fd) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 200 };

        return fcntl(fd, F_OFD_GETLK, &lock) >= 0 && lock.l_type != F_UNLCK;
}

/* A raw image in a regular file only; one that is larger already stays as it is. */
static int grow(const VmConfig *config, const Disk *disk, int fd, bool try, char **reterr) {
        uint64_t wanted = config->grow_image;
        struct stat st;

        if (!disk->boot || wanted == 0 || disk->ephemeral)
                return 0;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return error_set(reterr, -EINVAL,
                                "--grow-image: '%s' is a block device, whose size cannot be changed here: remove --grow-image=",
                                disk->path);
        if (try)
                return 0;
        if (in_use(fd))
                return error_set(reterr, -EBUSY, "--grow-image: '%s' " IN_USE, disk->path);
        if ((uint64_t) st.st_size >= wanted || ftruncate(fd, (off_t) wanted) >= 0)
                return 0;
        return error_set(reterr, -errno, "--grow-image: cannot grow '%s' to %llu bytes: %s", disk->path,
                        (unsigned long long) wanted, strerror(errno));
}

static int open_disk(const VmConfig *config, const Disk *disk, bool try, ImageChain *ret, char **reterr) {
        const ImageSource source = { disk->option, disk->path, disk->format,
                disk->ephemeral || disk->type->read_only, .fd = 0 };
        int r = image_chain_open(&source, config, ret, reterr);

        return r < 0 ? r : grow(config, disk, ret->layers[0].fd, try, reterr);
}

static int open_volume(Session *s, const Disk *disk, ImageChain *ret, char **reterr) {
        bool read_only = false;
        int fd = session_acquire_volume(s, disk->volume, &read_only, reterr);

        if (fd < 0)
                return fd;
        return image_chain_open(&(const ImageSource) { disk->option, disk->path, disk->format,
                                                read_only || disk->type->read_only, fd },
                        s->request->config, ret, reterr);
}

static int add_disk(Session *s, const Disk *disk, char **reterr) {
        _cleanup_(image_chain_done) ImageChain chain = {};
        int r;

        /* Once more, and of the very files that QEMU gets: somebody may have written to them since. */
        r = disk->volume ? open_volume(s, disk, &chain, reterr)
                         : open_disk(s->request->config, disk, /* try= */ false, &chain, reterr);
        if (r < 0)
                return r;
        r = nodes_add_chain(s, &chain, disk->ephemeral ? "disk-base" : disk->node, reterr);
        if (r >= 0 && disk->ephemeral)
                r = add_overlay(s, disk->path, reterr);
        if (r >= 0)
                r = plug_in(s, disk, reterr);
        if (r < 0 && *reterr && strstr(*reterr, " lock"))
                return error_prefix(reterr, r, "--%s: '%s' " IN_USE, disk->option, disk->path);
        return r < 0 ? error_prefix(reterr, r, "--%s", disk->option) : 0;
}

/* Without the names that only QEMU is told. */
static Disk extra_drive(const VmConfig *config, size_t i) {
        const DriveSource *drive = config->extra_drives + i;

        return (Disk) {
                .option = drive->volume ? "bind-volume" : "extra-drive",
                .volume = drive->volume ? drive : NULL,
                .path = drive->path,
                .format = drive->format == IMAGE_FORMAT_QCOW2 ? IMAGE_FORMAT_QCOW2 : IMAGE_FORMAT_RAW,
                .type = disk_type_facts(vm_config_drive_type(config, i)),
        };
}

static Disk image_disk(const VmConfig *config, const LaunchInputs *in) {
        return (Disk) {
                .option = "image",
                .path = config->image,
                .format = in->image_format,
                .type = disk_type_facts(config->image_disk_type),
                .node = "disk",
                .device = "disk0",
                .port = DISK_PORT,
                .boot = true,
                .ephemeral = config->ephemeral,
        };
}

static int try_disk(const VmConfig *config, const Disk *disk, char **reterr) {
        _cleanup_(image_chain_done) ImageChain chain = {};

        return open_disk(config, disk, /* try= */ true, &chain, reterr);
}

int disks_check(const VmConfig *config, const LaunchInputs *in, char **reterr) {
        Disk disk = image_disk(config, in);
        int r = config->image ? try_disk(config, &disk, reterr) : 0;

        if (r >= 0)
                r = volumes_check(config, reterr);
        for (size_t i = 0; i < config->n_extra_drives && r >= 0; i++) {
                disk = extra_drive(config, i);
                if (disk.volume)
                        continue;
                r = try_disk(config, &disk, reterr);
        }
        return r;
}

static int add_extra_drive(Session *s, size_t i, char **reterr) {
        Disk disk = extra_drive(s->request->config, i);
        char node[32], device[32], port[32];

        (void) snprintf(node, sizeof(node), "drive-%zu", i + 1);
        (void) snprintf(device, sizeof(device), "disk%zu", i + 1);
        (void) snprintf(port, sizeof(port), DRIVE_PORT, i + 1);
        disk.node = node;
        disk.device = device;
        disk.port = port;
        return add_disk(s, &disk, reterr);
}

bool session_has_scsi_bus(const VmConfig *config) {
        bool scsi = config->image && disk_type_facts(config->image_disk_type)->scsi;

        for (size_t i = 0; i < config->n_extra_drives && !scsi; i++)
                scsi = disk_type_facts(vm_config_drive_type(config, i))->scsi;
        return scsi;
}

int session_add_disks(Session *s, char **reterr) {
        const VmConfig *config = s->request->config;
        const Disk image = image_disk(config, s->request->inputs);
        int r = session_has_scsi_bus(config) ? add_scsi_bus(s, reterr) : 0;

        if (r >= 0 && config->image)
                r = add_disk(s, &image, reterr);
        for (size_t i = 0; i < config->n_extra_drives && r >= 0; i++)
                r = add_extra_drive(s, i, reterr);
        return r;
}
