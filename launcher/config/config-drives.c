/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Disks and published ports: what --extra-drive=, --image-disk-type=, --grow-image= and --publish= take. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config-handlers.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"

#define DRIVES_MAX  64u /* each virtio-blk or nvme disk takes a port of the root complex */
#define PUBLISH_MAX 64u

/* The serial that the guest sees is limited by the device: VIRTIO 1.2 section 5.2.6.1 (20 bytes), NVM Express base
 * specification, "Identify Controller" (20 bytes); QEMU's SCSI disks take 36, systemd-vmspawn uses 30 of them. */
static const DiskTypeFacts disk_types[] = {
        [DISK_VIRTIO_BLK] = { .name = "virtio-blk",
                        .driver = "virtio-blk-pci",
                        .serial_max = 20,
                        .virtio = true },
        [DISK_VIRTIO_SCSI] = { .name = "virtio-scsi", .driver = "scsi-hd", .serial_max = 30, .scsi = true },
        [DISK_NVME] = { .name = "nvme", .driver = "nvme", .serial_max = 20 },
        [DISK_SCSI_CD] = { .name = "scsi-cd",
                        .driver = "scsi-cd",
                        .serial_max = 30,
                        .scsi = true,
                        .read_only = true },
};
static_assert(ELEMENTSOF(disk_types) == _DISK_TYPE_MAX, "every type has a row");

const DiskTypeFacts *disk_type_facts(DiskType t) {
        return &disk_types[t];
}

bool disk_type_from_text(const char *text, size_t n, DiskType *ret) {
        for (size_t i = 0; i < ELEMENTSOF(disk_types); i++)
                if (strlen(disk_types[i].name) == n && memcmp(disk_types[i].name, text, n) == 0) {
                        *ret = (DiskType) i;
                        return true;
                }
        return false;
}

static const char *const image_formats[] = {
        [IMAGE_FORMAT_AUTO] = "auto",
        [IMAGE_FORMAT_RAW] = "raw",
        [IMAGE_FORMAT_QCOW2] = "qcow2",
        [IMAGE_FORMAT_VMDK] = "vmdk",
        [IMAGE_FORMAT_VHDX] = "vhdx",
        [IMAGE_FORMAT_VDI] = "vdi",
        [IMAGE_FORMAT_VPC] = "vpc",
};
static_assert(ELEMENTSOF(image_formats) == _IMAGE_FORMAT_MAX, "every format has a name");

const char *image_format_to_string(ImageFormat f) {
        return image_formats[f];
}

ImageFormat image_format_from_string(const char *name) {
        for (ImageFormat f = IMAGE_FORMAT_RAW; f < _IMAGE_FORMAT_MAX; f++)
                if (streq(image_formats[f], name))
                        return f;
        return IMAGE_FORMAT_AUTO;
}

int config_handle_image_format(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        ImageFormat f = image_format_from_string(value);

        if (f == IMAGE_FORMAT_AUTO)
                return error_set(reterr, -EINVAL, "expected %s, not '%s'", values_text(row->values).text,
                                value);
        ((VmConfig *) userdata)->image_format = f;
        return 0;
}

static bool format_from_text(const char *text, size_t n, ImageFormat *ret) {
        for (ImageFormat f = IMAGE_FORMAT_RAW; f <= IMAGE_FORMAT_QCOW2; f++) {
                const char *name = image_format_to_string(f);

                if (strlen(name) == n && memcmp(name, text, n) == 0) {
                        *ret = f;
                        return true;
                }
        }
        return false;
}

int config_handle_disk_type(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        DiskType t;

        if (!disk_type_from_text(value, strlen(value), &t))
                return error_set(reterr, -EINVAL,
                                "expected virtio-blk, virtio-scsi, nvme or scsi-cd, not '%s'", value);
        *(DiskType *) ((char *) userdata + row->offset) = t;
        return 0;
}

int config_add_drive(VmConfig *c, const DriveSource *drive, char **reterr) {
        DriveSource *grown;

        if (c->n_extra_drives >= DRIVES_MAX)
                return error_set(reterr, -E2BIG, "at most %u extra drives are supported", DRIVES_MAX);
        grown = reallocarray(c->extra_drives, c->n_extra_drives + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        c->extra_drives = grown;
        c->extra_drives[c->n_extra_drives++] = *drive;
        return 0;
}

/* [FORMAT:][TYPE:]PATH. What is neither a format nor a type belongs to the path, as in systemd-vmspawn. */
int config_handle_extra_drive(
                void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        VmConfig *c = userdata;
        DriveSource drive = { .type = _DISK_TYPE_MAX };
        int r;
        const char *path = value;

        for (const char *colon; (colon = strchr(path, ':')); path = colon + 1) {
                size_t n = (size_t) (colon - path);

                if (!format_from_text(path, n, &drive.format) && !disk_type_from_text(path, n, &drive.type))
                        break;
        }
        if (!*path)
                return error_set(reterr, -EINVAL,
                                "expected [raw:|qcow2:][virtio-blk:|virtio-scsi:|nvme:|scsi-cd:]PATH, not '%s'",
                                value);
        drive.path = strdup(path);
        if (!drive.path)
                return -ENOMEM;
        r = config_add_drive(c, &drive, reterr);
        if (r < 0)
                free(drive.path);
        return r;
}

static int add_image_file(VmConfig *c, const char *path, ImageFormat format, bool data, char **reterr) {
        ImageFile file = { .format = format, .data = data }, *grown;

        if (!*path)
                return error_set(reterr, -EINVAL, "expected %sPATH", data ? "" : "[raw:|qcow2:]");
        if (c->n_image_files >= IMAGE_FILES_MAX)
                return error_set(
                                reterr, -E2BIG, "at most %u files of images are supported", IMAGE_FILES_MAX);
        file.path = strdup(path);
        if (!file.path)
                return -ENOMEM;
        grown = reallocarray(c->image_files, c->n_image_files + 1, sizeof(*grown));
        if (!grown) {
                free(file.path);
                return -ENOMEM;
        }
        c->image_files = grown;
        c->image_files[c->n_image_files++] = file;
        return 0;
}

int config_handle_backing_file(
                void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        ImageFormat format = IMAGE_FORMAT_AUTO;
        const char *colon = strchr(value, ':');

        if (colon && format_from_text(value, (size_t) (colon - value), &format))
                value = colon + 1;
        return add_image_file(userdata, value, format, /* data= */ false, reterr);
}

int config_handle_data_file(
                void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        return add_image_file(userdata, value, IMAGE_FORMAT_RAW, /* data= */ true, reterr);
}

int config_handle_grow_image(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        uint64_t v;

        if (parse_size(value, &v) < 0 || v == 0 || v > INT64_MAX - 4095)
                return error_set(reterr, -EINVAL, "expected a size such as 10G, not '%s'", value);
        *(uint64_t *) ((char *) userdata + row->offset) = (v + 4095) / 4096 * 4096;
        return 0;
}

static int parse_port(const char *text, size_t n, unsigned *ret) {
        char digits[6];
        uint64_t v;

        if (n == 0 || n >= sizeof(digits))
                return -EINVAL;
        memcpy(digits, text, n);
        digits[n] = 0;
        if (parse_u64_max(digits, 65535, &v) < 0 || v == 0)
                return -EINVAL;
        *ret = (unsigned) v;
        return 0;
}

static bool ipv4_address(const char *text, size_t n) {
        unsigned parts = 0;

        for (const char *end = text + n; text <= end; parts++) {
                size_t k = strspn(text, "0123456789");
                unsigned v = 0;

                for (size_t i = 0; i < k && v < 1000; i++)
                        v = v * 10 + (unsigned) (text[i] - '0');
                if (k == 0 || k > 3 || v > 255 || (text + k != end && text[k] != '.'))
                        return false;
                text += k + 1;
        }
        return parts == 4;
}

static int refuse_publish(const char *value, char **reterr) {
        return error_set(reterr, -EINVAL,
                        "expected [tcp:|udp:][IPV4-ADDRESS:]HOST-PORT:GUEST-PORT[/tcp|/udp] with ports from 1 to 65535, not '%s'",
                        value);
}

/* Kept as QEMU's hostfwd takes it. Without an address the port is open to this machine only. */
int config_handle_publish(void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        VmConfig *c = userdata;
        const char *rest = value, *slash = strchr(value, '/'), *protocol = NULL, *first, *second, *end;
        const char *address = "127.0.0.1";
        size_t address_size = strlen(address);
        unsigned host, guest;

        if ((first = startswith(value, "tcp:")) || (first = startswith(value, "udp:"))) {
                protocol = *value == 't' ? "tcp" : "udp";
                rest = first;
        }
        if (slash) {
                if (protocol || (!streq(slash, "/tcp") && !streq(slash, "/udp")))
                        return refuse_publish(value, reterr);
                protocol = slash + 1;
        }
        if (strchr(rest, '['))
                return error_set(reterr, -EOPNOTSUPP,
                                "QEMU's user network publishes on IPv4 addresses only, not on '%s'", value);

        end = slash ?: rest + strlen(rest);
        first = strchr(rest, ':');
        second = first && first < end ? memchr(first + 1, ':', (size_t) (end - first - 1)) : NULL;
        if (!first || first >= end)
                return refuse_publish(value, reterr);
        if (second) {
                address = rest;
                address_size = (size_t) (first - rest);
                rest = first + 1;
                first = second;
        }
        if (!ipv4_address(address, address_size) || parse_port(rest, (size_t) (first - rest), &host) < 0 ||
                        parse_port(first + 1, (size_t) (end - first - 1), &guest) < 0)
                return refuse_publish(value, reterr);
        if (strv_length(c->publish) >= PUBLISH_MAX)
                return error_set(reterr, -E2BIG, "at most %u ports can be published", PUBLISH_MAX);
        return strv_pushf(&c->publish, "%s:%.*s:%u-:%u", protocol ?: "tcp", (int) address_size, address,
                        host, guest);
}
