/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a boot from a disk adds: the boot option that edk2 makes of it, and its partition table (edk2 MdeModulePkg/Library/UefiBootManagerLib; TCG PC Client
 * Platform Firmware Profile 1.06, UEFI_GPT_DATA). */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "firmware-guids.h"
#include "measure-rtmr-run.h"

/* The mark of options that edk2 made by itself. */
#define GUID_BOOT_MANAGER                                                                                   \
        GUID_INIT(0x8108ac4e, 0x9f11, 0x4d59, 0x85, 0x0e, 0xe2, 0x1a, 0x52, 0x2c, 0x59, 0xb2)
#define DESCRIPTION "UEFI Misc Device"

/* QEMU's name of a virtio-blk device on the root bus: "/pci@i0cf8/scsi@1/disk@0,0", with ",FUNCTION" after the device where that is not 0. */
static int read_place(RtmrRun *run, unsigned *ret_device, unsigned *ret_function) {
        _cleanup_free_ char *order = NULL;
        int n = 0, r;
        size_t size = 0;

        r = rtmr_take_item(run, "bootorder", &order, &size);
        if (r < 0 && r != -ENOENT)
                return r;
        if (r == -ENOENT)
                return error_set(run->reterr, r,
                                "--fw-cfg: '%s/bootorder' is missing: the disk that the firmware boots needs bootindex=",
                                run->boot->fw_cfg);
        *ret_function = 0;
        if ((sscanf(order, "/pci@i0cf8/scsi@%x/disk@0,0%n", ret_device, &n) == 1 && n > 0) ||
                        (sscanf(order, "/pci@i0cf8/scsi@%x,%x/disk@0,0%n", ret_device, ret_function, &n) ==
                                                        2 &&
                                        n > 0))
                if ((size_t) n + 1 == size && *ret_device < 32 && *ret_function < 8)
                        return 0;
        return error_set(run->reterr, -EOPNOTSUPP,
                        "--fw-cfg: bootorder: expected one virtio-blk disk on the root bus; boot options of other devices are not predicted");
}

int rtmr_add_disk_order(RtmrRun *run) {
        static const Guid mark = GUID_BOOT_MANAGER;
        static const uint8_t order[] = { 1, 0, 0, 0 };
        unsigned device = 0, function = 0;
        uint8_t bytes[256];
        ByteWriter w = byte_writer(bytes, sizeof(bytes));
        int r = read_place(run, &device, &function);

        if (r >= 0)
                r = rtmr_add(run, 0, (uint32_t) EV_EFI_VARIABLE_BOOT, "variable BootOrder", order,
                                sizeof(order));
        if (r < 0)
                return r;
        byte_writer_le32(&w, 1); /* EFI_LOAD_OPTION: active */
        byte_writer_le16(&w, 12 + 6 + 4);
        for (const char *s = DESCRIPTION; *s; s++)
                byte_writer_le16(&w, (uint8_t) *s);
        byte_writer_le16(&w, 0);
        byte_writer_put(&w, "\x02\x01\x0c\x00\xd0\x41\x03\x0a\x00\x00\x00\x00", 12); /* PciRoot(0) */
        byte_writer_put(&w, "\x01\x01\x06\x00", 4);
        byte_writer_u8(&w, (uint8_t) function);
        byte_writer_u8(&w, (uint8_t) device);
        byte_writer_put(&w, "\x7f\xff\x04\x00", 4);
        byte_writer_put(&w, mark.bytes, sizeof(mark.bytes));
        return w.error < 0 ? w.error
                           : rtmr_add(run, 0, (uint32_t) EV_EFI_VARIABLE_BOOT, "variable Boot0001", bytes,
                                             w.pos);
}

int rtmr_add_disk_table(RtmrRun *run) {
        const RtmrDisk *disk = run->boot->disk;

        return rtmr_add(run, 1, (uint32_t) EV_EFI_GPT_EVENT, "partition table", disk->table, disk->size);
}
