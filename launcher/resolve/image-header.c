/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "image-header.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "bytes.h"
#include "error.h"
#include "fd.h"

/* Offsets in qcow2's header (QEMU docs/interop/qcow2.txt); all numbers are big-endian. */
#define QCOW2_HEADER_SIZE_2  72u /* of version 2 */
#define QCOW2_HEADER_SIZE    104u
#define QCOW2_VERSION        4u
#define QCOW2_BACKING        8u
#define QCOW2_BACKING_SIZE   16u
#define QCOW2_ENCRYPTION     32u
#define QCOW2_INCOMPATIBLE   72u
#define QCOW2_LENGTH         100u
#define QCOW2_DATA_FILE      (UINT64_C(1) << 2)
#define QCOW2_SIGNATURE      "QFI\xfb"
#define QCOW2_CLUSTER_MAX    (UINT64_C(2) << 20) /* header, extensions and names are in the first cluster */
#define QCOW2_EXTENSIONS_MAX 32u                 /* five are known */
#define QCOW2_END            0u
#define QCOW2_BACKING_FORMAT UINT32_C(0xe2792aca)
#define QCOW2_DATA_NAME      UINT32_C(0x44415441)
#define SIGNATURE_SIZE_MAX   24u

/* Offsets and sizes of VMDK (VMware, Virtual Disk Format 1.1) and of VHD (Microsoft, Virtual Hard Disk Image Format Specification). */
#define VMDK_CAPACITY  12u
#define VMDK_TEXT      0x200u
#define VMDK_TEXT_SIZE (20u * 512u) /* that much QEMU reads of it */
#define VMDK_PARENT    "parentCID="
#define VMDK_HINT      "parentFileNameHint"
#define VPC_SIZE       512u
#define VPC_TYPE       60u
#define VPC_CHANGES    4u

/* As QEMU's block/ drivers probe for them. LUKS is left out: a raw disk may well be one inside the guest. */
static const struct Signature {
        const char *format;
        uint64_t offset;
        const char *bytes;
        size_t size;
} signatures[] = {
        { "qcow2", 0, QCOW2_SIGNATURE, 4 },
        { "qed", 0, "QED\0", 4 },
        { "vmdk", 0, "KDMV", 4 },
        { "vmdk", 0, "COWD", 4 },
        { "vmdk", 0, "# Disk DescriptorFile", 21 },
        { "vhdx", 0, "vhdxfile", 8 },
        { "vpc", 0, "conectix", 8 },
        { "vdi", 0x40, "\x7f\x10\xda\xbe", 4 },
        { "parallels", 0, "WithoutFreeSpace", 16 },
        { "parallels", 0, "WithouFreSpacExt", 16 },
        { "bochs", 0, "Bochs Virtual HD Image", 22 },
        { "cloop", 0, "#!/bin/sh\n#V2.0 Format", 22 },
};

const char *image_header_signature(int fd) {
        FOREACH_ARRAY(s, signatures, ELEMENTSOF(signatures)) {
                char bytes[SIGNATURE_SIZE_MAX];

                if (fd_pread_exact(fd, bytes, s->size, s->offset) >= 0 &&
                                memcmp(bytes, s->bytes, s->size) == 0)
                        return s->format;
        }
        return NULL;
}

bool image_name_is_url(const char *name) {
        return name[strcspn(name, ":/")] == ':';
}

/* A name that is cut off, empty or has a NUL inside is none that anybody could have allowed. */
static int read_name(int fd, uint64_t offset, uint32_t size, char ret[static IMAGE_NAME_MAX + 1]) {
        if (size == 0 || size > IMAGE_NAME_MAX || offset > QCOW2_CLUSTER_MAX)
                return -EBADMSG;
        if (fd_pread_exact(fd, ret, size, offset) < 0 || memchr(ret, 0, size))
                return -EBADMSG;
        ret[size] = 0;
        return 0;
}

/* The header's extensions: type, length and data, on multiples of 8. */
static int read_extensions(int fd, uint64_t pos, uint64_t end, ImageHeader *h) {
        for (unsigned i = 0; pos < end; i++) {
                uint8_t head[8];
                uint32_t type, size;

                if (i >= QCOW2_EXTENSIONS_MAX || fd_pread_exact(fd, head, sizeof(head), pos) < 0)
                        return -EBADMSG;
                type = be32_read(head);
                size = be32_read(head + 4);
                pos += sizeof(head);
                if (type == QCOW2_END)
                        return 0;
                if (type == QCOW2_DATA_NAME && read_name(fd, pos, size, h->data) < 0)
                        return -EBADMSG;
                if (type == QCOW2_BACKING_FORMAT && size < sizeof(h->backing_format)) {
                        if (fd_pread_exact(fd, h->backing_format, size, pos) < 0)
                                return -EBADMSG;
                        h->backing_format[size] = 0;
                }
                pos += ((uint64_t) size + 7) / 8 * 8;
        }
        return pos > QCOW2_CLUSTER_MAX ? -EBADMSG : 0;
}

int image_header_read(const char *option, const char *path, int fd, ImageHeader *ret, char **reterr) {
        uint8_t header[QCOW2_HEADER_SIZE] = {};
        uint64_t backing, extensions = QCOW2_HEADER_SIZE_2;
        ImageHeader h = {};
        uint32_t version;
        int r = 0;

        if (fd_pread_exact(fd, header, QCOW2_HEADER_SIZE_2, 0) < 0 ||
                        memcmp(header, QCOW2_SIGNATURE, 4) != 0)
                return error_set(reterr, -EBADMSG,
                                "--%s: '%s' is not a qcow2 image; it is a raw image or of another format",
                                option, path);
        version = be32_read(header + QCOW2_VERSION);
        if (version != 2 && version != 3)
                return error_set(reterr, -EBADMSG,
                                "--%s: '%s' is a qcow2 image of version %u, expected 2 or 3", option, path,
                                version);
        if (version == 3) {
                r = fd_pread_exact(fd, header, sizeof(header), 0);
                extensions = be32_read(header + QCOW2_LENGTH);
                h.has_data = be64_read(header + QCOW2_INCOMPATIBLE) & QCOW2_DATA_FILE;
        }
        if (be32_read(header + QCOW2_ENCRYPTION) != 0)
                return error_set(reterr, -EPERM,
                                "--%s: '%s' is encrypted in its format, which is not supported: encrypt inside the guest",
                                option, path);
        backing = be64_read(header + QCOW2_BACKING);
        h.has_backing = backing != 0;
        if (r >= 0 && h.has_backing)
                r = read_name(fd, backing, be32_read(header + QCOW2_BACKING_SIZE), h.backing);
        if (r >= 0 && (h.has_backing || h.has_data))
                r = read_extensions(fd, extensions, h.has_backing ? backing : QCOW2_CLUSTER_MAX, &h);
        if (r < 0 || (h.has_data && !h.data[0]))
                return error_set(reterr, -EBADMSG,
                                "--%s: the qcow2 header of '%s' is damaged where it names other files: make the image stand alone with 'qemu-img convert'",
                                option, path);
        *ret = h;
        return 0;
}

/* A sparse VMDK is one file, with its descriptor inside; a text alone, or a header without a capacity, is a list of other files, which QEMU opens
 * (QEMU block/vmdk.c, vmdk_open() and vmdk_parent_open()). */
static int check_vmdk(const char *option, const char *path, int fd, char **reterr) {
        uint8_t header[20], text[VMDK_TEXT_SIZE] = {};
        int r = fd_pread_exact(fd, header, sizeof(header), 0);
        const char *parent;
        struct stat st;

        if (r < 0 || (memcmp(header, "KDMV", 4) != 0 && memcmp(header, "COWD", 4) != 0) ||
                        (header[0] == 'K' && le64_read(header + VMDK_CAPACITY) == 0))
                return error_set(reterr, -EPERM,
                                "--%s: '%s' is not a VMDK image of one file, and others that it may name are not opened: make one file with 'qemu-img convert -O qcow2'",
                                option, path);
        r = fstat(fd, &st) < 0 ? -errno : 0;
        if (r >= 0 && st.st_size > (off_t) VMDK_TEXT)
                r = fd_pread_exact(fd, text, MIN(sizeof(text), (size_t) st.st_size - VMDK_TEXT), VMDK_TEXT);
        if (r < 0)
                return error_set(reterr, r, "--%s: cannot read '%s': %s", option, path, strerror(-r));
        /* The last byte is left out, so that what is found ends with a NUL. */
        text[sizeof(text) - 1] = 0;
        parent = memmem(text, sizeof(text), VMDK_PARENT, strlen(VMDK_PARENT));
        if (memmem(text, sizeof(text), VMDK_HINT, strlen(VMDK_HINT)) ||
                        (parent && strncasecmp(parent + strlen(VMDK_PARENT), "ffffffff", 8) != 0))
                return error_set(reterr, -EPERM,
                                "--%s: '%s' has only the changes to another VMDK image, which is not opened: make one image of both with 'qemu-img convert -O qcow2'",
                                option, path);
        return 0;
}

/* QEMU takes the changes to another VHD for a whole disk (QEMU block/vpc.c, vpc_open()). */
static int check_vpc(const char *option, const char *path, int fd, char **reterr) {
        uint8_t header[VPC_SIZE];
        struct stat st;
        int r = fd_pread_exact(fd, header, sizeof(header), 0);

        if (r >= 0 && memcmp(header, "conectix", 8) != 0)
                r = fstat(fd, &st) < 0 ? -errno
                                       : fd_pread_exact(fd, header, sizeof(header),
                                                         (uint64_t) st.st_size - VPC_SIZE);
        if (r >= 0 && memcmp(header, "conectix", 8) == 0 && be32_read(header + VPC_TYPE) != VPC_CHANGES)
                return 0;
        return error_set(reterr, -EPERM,
                        "--%s: '%s' is not a VHD image that stands alone: make one with 'qemu-img convert -O qcow2'",
                        option, path);
}

int image_header_check(const char *option, const char *path, int fd, ImageFormat format, char **reterr) {
        return format == IMAGE_FORMAT_VMDK           ? check_vmdk(option, path, fd, reterr)
                        : format == IMAGE_FORMAT_VPC ? check_vpc(option, path, fd, reterr)
                                                     : 0;
}
