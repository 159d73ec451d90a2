/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What kind of file this is. */

#include <string.h>
#include <strings.h>

#include "error.h"
#include "fd.h"
#include "initrd-compression.h"
#include "inspect.h"
#include "pe-sections.h"
#include "strutil.h"

static const char *const names[] = {
        [INSPECT_FIRMWARE] = "firmware",
        [INSPECT_KERNEL] = "kernel",
        [INSPECT_UKI] = "uki",
        [INSPECT_IMAGE] = "image",
        [INSPECT_INITRD] = "initrd",
        [INSPECT_CPIO] = "cpio",
};

InspectKind inspect_kind_from_string(const char *s) {
        for (int i = 0; i < _INSPECT_KIND_MAX; i++)
                if (streq(names[i], s))
                        return i;
        return _INSPECT_KIND_INVALID;
}

const char *inspect_kind_to_string(InspectKind kind) {
        return names[kind];
}

/* A kernel is a PE file, too, so that it comes first, and a disk that holds a file system has no table. */
static const struct {
        uint32_t offset;
        const char *bytes;
        uint32_t size;
        InspectKind kind;
} marks[] = {
        { 0x202, "HdrS", 4, INSPECT_KERNEL }, /* Linux, Documentation/arch/x86/boot.rst */
        { 0, "MZ", 2, INSPECT_KERNEL },       /* or a unified kernel image; else refused with the reason */
        { 40, "_FVH", 4, INSPECT_FIRMWARE },  /* UEFI PI, firmware volume header */
        { 0, "QFI\xfb", 4, INSPECT_IMAGE },   /* qcow2 */
        { 0, "KDMV", 4, INSPECT_IMAGE },      /* VMDK */
        { 0, "# Disk DescriptorFile", 21, INSPECT_IMAGE }, /* VMDK, description alone */
        { 0, "vhdxfile", 8, INSPECT_IMAGE },               /* VHDX */
        { 0, "conectix", 8, INSPECT_IMAGE },               /* VHD */
        { 64, "\x7f\x10\xda\xbe", 4, INSPECT_IMAGE },      /* VDI */
        { 512, "EFI PART", 8, INSPECT_IMAGE },             /* GPT */
        { 1080, "\x53\xef", 2, INSPECT_IMAGE },            /* ext4 */
        { 0, "XFSB", 4, INSPECT_IMAGE },                   /* xfs */
        { 0x10040, "_BHRfS_M", 8, INSPECT_IMAGE },         /* btrfs */
        { 0, "LUKS\xba\xbe", 6, INSPECT_IMAGE },           /* which is refused with the reason */
        { 510, "\x55\xaa", 2, INSPECT_IMAGE },             /* MBR, or FAT */
        { 0, "070701", 6, INSPECT_INITRD }, /* cpio; Linux, Documentation/driver-api/early-userspace */
        { 0, "070702", 6, INSPECT_INITRD },
};

#define HEAD_MAX    (0x10040u + 8u)
#define FOOTER_SIZE 48u /* of OVMF, its table's own GUID ends 32 bytes before the end */

/* OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm: 96b582de-1fb2-45f7-baea-a366c55a082d */
static const uint8_t footer[16] = { 0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66,
        0xc5, 0x5a, 0x08, 0x2d };

static const char *const endings[] = { ".raw", ".img", ".qcow2", ".vmdk", ".vhdx", ".vhd", ".vdi" };

static bool has_kernel(const uint8_t *head, size_t size) {
        ByteReader reader = byte_reader(head, size);
        PeSection s;
        uint16_t n;

        if (pe_section_table(&reader, &n) < 0)
                return false;
        while (n-- > 0 && pe_section_next(&reader, &s) >= 0)
                if (streq(s.name, ".linux"))
                        return true;
        return false;
}

static int by_content(int fd, uint64_t size, InspectKind *ret) {
        uint8_t head[HEAD_MAX] = {}, tail[FOOTER_SIZE] = {};
        size_t n = (size_t) MIN(size, (uint64_t) sizeof(head));
        int r = fd_pread_exact(fd, head, n, 0);

        if (r >= 0 && size >= sizeof(tail))
                r = fd_pread_exact(fd, tail, sizeof(tail), size - sizeof(tail));
        if (r < 0)
                return r;
        FOREACH_ARRAY(m, marks, ELEMENTSOF(marks))
                if (m->offset + m->size <= n && memcmp(head + m->offset, m->bytes, m->size) == 0) {
                        *ret = streq(m->bytes, "MZ") && has_kernel(head, n) ? INSPECT_UKI : m->kind;
                        return 0;
                }
        if (memcmp(tail, footer, sizeof(footer)) == 0)
                *ret = INSPECT_FIRMWARE;
        else if (n >= 2 && initrd_compression_from_magic(head) >= 0)
                *ret = INSPECT_INITRD;
        else
                return -ENOENT;
        return 0;
}

static bool named_as_image(const char *path) {
        size_t n = strlen(path);

        for (size_t i = 0; i < ELEMENTSOF(endings); i++) {
                size_t k = strlen(endings[i]);

                if (n > k && strcasecmp(path + n - k, endings[i]) == 0)
                        return true;
        }
        return false;
}

int inspect_find_kind(const char *path, InspectKind *ret, char **reterr) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t size;
        int r;

        fd = fd_open_regular(path, &size);
        if (fd < 0)
                return error_set(reterr, fd, "cannot open '%s': %s", path, strerror(-fd));
        r = by_content(fd, size, ret);
        if (r == -ENOENT && named_as_image(path)) {
                *ret = INSPECT_IMAGE;
                r = 0;
        }
        if (r == -ENOENT)
                return error_set(reterr, -EBADMSG,
                                "'%s' begins neither as a firmware, a kernel, an initrd, a cpio archive nor a disk image; name its kind: cvmspawn inspect firmware|kernel|uki|initrd|cpio|image FILE",
                                path);
        return r < 0 ? error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r)) : 0;
}
