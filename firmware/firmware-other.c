/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files that are given as a firmware image and are not one: what they are, and what to use instead. */

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "firmware-guids.h"
#include "firmware-ovmf.h"
#include "sev-abi.h"

#define FV_GUID_OFFSET 16u /* UEFI PI 1.7, EFI_FIRMWARE_VOLUME_HEADER */

/* A volume of variables at the start: an image with CODE and VARS in one, or the VARS half alone. */
bool ovmf_starts_with_variables(const uint8_t *image, size_t size) {
        static const Guid nv_data = GUID_SYSTEM_NV_DATA_FV;
        ByteReader r = byte_reader(image, size);
        Guid guid;

        return byte_reader_skip(&r, FV_GUID_OFFSET) >= 0 &&
                        byte_reader_copy(&r, guid.bytes, sizeof(guid.bytes)) >= 0 &&
                        guid_equal(&guid, &nv_data);
}

/* UEFI PI 1.7, EFI_FIRMWARE_VOLUME_HEADER: FvLength. The variables' volume of a whole image is followed by the code. */
#define FV_LENGTH_OFFSET 32u

static bool is_variables_only(const uint8_t *image, size_t size) {
        ByteReader r = byte_reader(image, size);
        uint64_t length;

        return ovmf_starts_with_variables(image, size) && byte_reader_seek(&r, FV_LENGTH_OFFSET) >= 0 &&
                        byte_reader_le64(&r, &length) >= 0 && length >= size;
}

int ovmf_footer(const uint8_t *image, size_t size, uint16_t *ret) {
        static const Guid footer = GUID_OVMF_TABLE_FOOTER;
        ByteReader r = byte_reader(image, size);
        uint16_t length;
        Guid guid;

        if (size < RESET_VECTOR_SIZE + ENTRY_HEADER_SIZE ||
                        byte_reader_seek(&r, size - RESET_VECTOR_SIZE - ENTRY_HEADER_SIZE) < 0 ||
                        byte_reader_le16(&r, &length) < 0 ||
                        byte_reader_copy(&r, guid.bytes, sizeof(guid.bytes)) < 0 ||
                        !guid_equal(&guid, &footer))
                return -ENOENT;
        *ret = length;
        return 0;
}

bool ovmf_has_table(const uint8_t *image, size_t size) {
        uint16_t length;

        return ovmf_footer(image, size, &length) >= 0;
}

/* Forms in which firmware is stored, and which QEMU does not read with -bios. */
static const struct {
        const char *magic;
        size_t size;
        const char *name, *remedy;
} containers[] = {
        { "\x1f\x8b", 2, "gzip file", "unpack it with gzip -d" },
        { "\x28\xb5\x2f\xfd", 4, "zstd file", "unpack it with zstd -d" },
        { "\xfd"
          "7zXZ",
                        5, "xz file", "unpack it with xz -d" },
        { "QFI\xfb", 4, "qcow2 image", "convert it with qemu-img convert -O raw" },
        { "IGVM", 4, "IGVM file", "measure it with --igvm=" },
};

int ovmf_explain_other(const uint8_t *image, size_t size, char **reterr) {
        if (size == 0)
                return error_set(reterr, -EBADMSG, "the firmware file is empty");
        if (is_variables_only(image, size))
                return error_set(reterr, -EBADMSG,
                                "this is the variable store (VARS) of a split firmware, not its code: use the whole image; for SEV " REMEDY_AMDSEV);
        if (image[size - 1] == '\n' && ovmf_has_table(image, size - 1))
                return error_set(reterr, -EBADMSG,
                                "a newline follows the firmware image: a text tool changed it; use the unmodified file");
        for (size_t i = 0; i < ELEMENTSOF(containers); i++)
                if (size > containers[i].size && memcmp(image, containers[i].magic, containers[i].size) == 0)
                        return error_set(reterr, -EBADMSG, "this is a %s, not a raw firmware image: %s",
                                        containers[i].name, containers[i].remedy);
        if (ovmf_starts_with_variables(image, size))
                return error_set(reterr, -EBADMSG,
                                "no OVMF table at the end of the %zu bytes%s: the image is truncated, or bytes follow it; use the unmodified file",
                                size, size % SEV_PAGE_SIZE != 0 ? ", which are not whole 4 KiB pages" : "");
        return error_set(reterr, -EBADMSG,
                        "no OVMF table at the end of the file: this is not an OVMF image (or a very old one); " REMEDY_AMDSEV);
}
