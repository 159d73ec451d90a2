/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The events of a boot, register by register, as each release of edk2 logs them (OvmfPkg, SecurityPkg, MdeModulePkg). */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "firmware-guids.h"
#include "measure-rtmr-run.h"
#include "measure-tdx.h"
#include "strutil.h"
#include "tdx-hob.h"

/* The firmware volume with the applications, and two of them. */
#define GUID_DXE_FV    GUID_INIT(0x7cb8bdc9, 0xf8eb, 0x4f34, 0xaa, 0xea, 0x3e, 0xe4, 0xaf, 0x65, 0x16, 0xa1)
#define GUID_UI_APP    GUID_INIT(0x462caa21, 0x7614, 0x4503, 0x83, 0x6e, 0x8a, 0xb6, 0xf4, 0x66, 0x23, 0x31)
#define GUID_BOOT_MENU GUID_INIT(0xeec25bdc, 0x67f2, 0x4d95, 0xb1, 0xd5, 0xf8, 0x1b, 0x20, 0x39, 0xd1, 0x1d)

static int add_separator(RtmrRun *run, unsigned rtmr) {
        static const uint8_t zeros[4];

        return rtmr_add(run, rtmr, EV_SEPARATOR, "separator", zeros, sizeof(zeros));
}

static int add_action(RtmrRun *run, const char *text) {
        char name[80];

        (void) snprintf(name, sizeof(name), "action: %s", text);
        return rtmr_add(run, 1, (uint32_t) EV_EFI_ACTION, name, text, strlen(text));
}

/* --- what the firmware image and the memory say ----------------------------------------------------------------------- */

static int add_hob_and_variables(RtmrRun *run, const TdvfInfo *info, const TdvfSection *cfv) {
        TdxHob hob;
        int r = tdx_hob_build(info, run->boot->ram, &hob, run->reterr);

        if (r >= 0)
                r = rtmr_add(run, 0, (uint32_t) EV_EFI_HANDOFF_TABLES2, "list of memory (TD HOB)", hob.bytes,
                                hob.measured);
        if (r >= 0)
                r = rtmr_add(run, 0, (uint32_t) EV_EFI_PLATFORM_FIRMWARE_BLOB2, "firmware variables (CFV)",
                                run->boot->firmware->data + cfv->offset, cfv->raw);
        return r;
}

/* --- boot variables --------------------------------------------------------------------------------------------------- */

/* EFI_LOAD_OPTION (UEFI 2.10, 3.1.3) of an application in the firmware; its data alone is hashed. */
static int add_application(RtmrRun *run, const char *variable, uint32_t attributes, const char *description,
                const Guid *file) {
        static const Guid volume = GUID_DXE_FV;
        uint8_t bytes[256];
        ByteWriter w = byte_writer(bytes, sizeof(bytes));
        char label[40];

        byte_writer_le32(&w, attributes);
        byte_writer_le16(&w, 20 + 20 + 4);
        for (const char *s = description; *s; s++)
                byte_writer_le16(&w, (uint8_t) *s);
        byte_writer_le16(&w, 0);
        byte_writer_put(&w, "\x04\x07\x14\x00", 4); /* media device path: firmware volume, then file */
        byte_writer_put(&w, volume.bytes, sizeof(volume.bytes));
        byte_writer_put(&w, "\x04\x06\x14\x00", 4);
        byte_writer_put(&w, file->bytes, sizeof(file->bytes));
        byte_writer_put(&w, "\x7f\xff\x04\x00", 4);
        (void) snprintf(label, sizeof(label), "variable %s", variable);
        return w.error < 0 ? w.error
                           : rtmr_add(run, 0, (uint32_t) EV_EFI_VARIABLE_BOOT, label, bytes, w.pos);
}

static int add_boot_variables(RtmrRun *run) {
        static const Guid ui = GUID_UI_APP, menu = GUID_BOOT_MENU;
        static const uint8_t order[] = { 0, 0, 1, 0 };
        bool with_menu = run->boot->edk2.release >= EDK2_FW_CFG,
             two = with_menu && !run->boot->edk2.secure_boot;
        int r = run->boot->disk ? rtmr_add_disk_order(run)
                                : rtmr_add(run, 0, (uint32_t) EV_EFI_VARIABLE_BOOT, "variable BootOrder",
                                                  order, two ? 4 : 2);

        if (r >= 0)
                r = with_menu ? add_application(run, "Boot0000", 0x109, "BootManagerMenuApp", &menu)
                              : add_application(run, "Boot0000", 0x109, "UiApp", &ui);
        return r >= 0 && two && !run->boot->disk
                        ? add_application(run, "Boot0001", 0x101, "EFI Firmware Setup", &ui)
                        : r;
}

/* --- all of it -------------------------------------------------------------------------------------------------------- */

static int add_rtmr0(RtmrRun *run, const TdvfInfo *info, const TdvfSection *cfv) {
        unsigned release = run->boot->edk2.release;
        int r = add_hob_and_variables(run, info, cfv);

        if (r >= 0 && release >= EDK2_FW_CFG)
                r = rtmr_add_items(run);
        if (r >= 0)
                r = rtmr_add_secure_boot(run, cfv);
        if (r >= 0)
                r = add_separator(run, 0);
        if (r >= 0 && release >= EDK2_ACPI)
                r = rtmr_add_acpi(run);
        if (r >= 0)
                r = rtmr_add_authority(run, cfv);
        if (r >= 0 && release >= EDK2_FW_CFG)
                r = rtmr_add_smbios(run);
        if (r >= 0)
                r = add_boot_variables(run);
        if (r >= 0 && release < EDK2_SEPARATOR_IN_RTMR1)
                r = add_separator(run, 0);
        return r < 0 ? r : rtmr_add_stub_strings(run);
}

/* A directly booted kernel is measured when the firmware reads it, before anything is started. After a boot from a disk that can be written to, the first attempt to
 * leave boot services fails: the file system's driver has changed the memory map. */
static int add_rtmr1(RtmrRun *run) {
        bool disk = run->boot->disk;
        int r = disk ? 0 : rtmr_add_application(run);

        if (r >= 0)
                r = add_action(run, "Calling EFI Application from Boot Option");
        if (r >= 0 && run->boot->edk2.release >= EDK2_SEPARATOR_IN_RTMR1)
                r = add_separator(run, 1);
        if (r >= 0 && disk)
                r = rtmr_add_disk_table(run);
        if (r >= 0 && disk)
                r = rtmr_add_application(run);
        if (r >= 0)
                r = rtmr_add_stub_kernel(run);
        if (r >= 0 && disk && !run->boot->disk->read_only)
                r = add_action(run, "Exit Boot Services Returned with Failure");
        if (r >= 0)
                r = add_action(run, "Exit Boot Services Invocation");
        return r < 0 ? r : add_action(run, "Exit Boot Services Returned with Success");
}

int rtmr_predict(const RtmrBoot *boot, RtmrEvents *ret, char **reterr) {
        _cleanup_(rtmr_events_done) RtmrEvents events = {};
        _cleanup_(rtmr_run_done) RtmrRun run = { .boot = boot, .events = &events, .reterr = reterr };
        unsigned wanted = boot->registers ?: 7u;
        const TdvfSection *cfv;
        TdvfInfo info;
        int r = tdx_firmware_sections(boot->firmware, &info, reterr);

        if (r < 0)
                return r;
        cfv = tdvf_find(&info, TDVF_CFV);
        if (!cfv)
                return error_set(reterr, -EOPNOTSUPP,
                                "firmware: the TDX metadata have no CFV section, and so no variables to measure");
        r = rtmr_read_kernel(&run);
        if (r >= 0 && run.has_stub)
                r = rtmr_check_stub_keys(&run, cfv);
        if (r >= 0 && wanted & 1 << 0)
                r = add_rtmr0(&run, &info, cfv);
        if (r >= 0 && wanted & 1 << 1)
                r = add_rtmr1(&run);
        if (r >= 0 && wanted & 1 << 2)
                r = rtmr_add_payload(&run);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(events, (RtmrEvents) {});
        return 0;
}
