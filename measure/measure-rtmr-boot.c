/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The events of a direct boot, register by register, as each release of edk2 logs them (OvmfPkg, SecurityPkg, MdeModulePkg; Linux
 * drivers/firmware/efi/libstub). */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "firmware-guids.h"
#include "firmware-variables.h"
#include "measure-pe.h"
#include "measure-rtmr-run.h"
#include "measure-tdx.h"
#include "strutil.h"
#include "tdx-hob.h"

#define KERNEL_SIZE_MAX (UINT64_C(256) << 20)
#define CMDLINE_MAX     (UINT64_C(1) << 20)
#define SETUP_MAGIC     0x202u

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

/* UEFI_VARIABLE_DATA without the NUL of the name. */
static int add_variable(
                RtmrRun *run, const Guid *vendor, const char *name, const uint8_t *data, size_t size) {
        size_t n = strlen(name), total = 32 + 2 * n + size;
        _cleanup_free_ uint8_t *bytes = malloc(total);
        char label[32];
        ByteWriter w;
        int r;

        if (!bytes)
                return -ENOMEM;
        w = byte_writer(bytes, total);
        byte_writer_put(&w, vendor->bytes, sizeof(vendor->bytes));
        byte_writer_le64(&w, n);
        byte_writer_le64(&w, size);
        for (size_t i = 0; i < n; i++)
                byte_writer_le16(&w, (uint8_t) name[i]);
        if (size > 0)
                byte_writer_put(&w, data, size);
        r = byte_writer_finish(&w, total);
        (void) snprintf(label, sizeof(label), "variable %s", name);
        return r < 0 ? r : rtmr_add(run, 0, (uint32_t) EV_EFI_VARIABLE_DRIVER_CONFIG, label, bytes, total);
}

/* SecureBoot is on where a platform key is enrolled; a build without the code has no such variable. */
static int add_secure_boot(RtmrRun *run, const TdvfSection *cfv) {
        static const Guid global = GUID_GLOBAL, security = GUID_SECURITY;
        static const struct {
                const char *name;
                const Guid *vendor;
        } keys[] = { { "PK", &global }, { "KEK", &global }, { "db", &security }, { "dbx", &security } };
        const uint8_t *store = run->boot->firmware->data + cfv->offset;
        FirmwareVariable v[ELEMENTSOF(keys)];
        uint8_t on;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(keys); i++)
                r = firmware_variable_parse(
                                store, cfv->raw, keys[i].vendor, keys[i].name, v + i, run->reterr);
        if (r < 0)
                return r;
        on = v[0].size > 0;
        r = add_variable(run, &global, "SecureBoot", &on, run->boot->edk2.secure_boot ? 1 : 0);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(keys); i++)
                r = add_variable(run, keys[i].vendor, keys[i].name, v[i].data, v[i].size);
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
        int r = rtmr_add(run, 0, (uint32_t) EV_EFI_VARIABLE_BOOT, "variable BootOrder", order, two ? 4 : 2);

        if (r >= 0)
                r = with_menu ? add_application(run, "Boot0000", 0x109, "BootManagerMenuApp", &menu)
                              : add_application(run, "Boot0000", 0x109, "UiApp", &ui);
        return r >= 0 && two ? add_application(run, "Boot0001", 0x101, "EFI Firmware Setup", &ui) : r;
}

/* --- kernel, command line, initrd ------------------------------------------------------------------------------------- */

static int input_bytes(const RtmrRun *run, const PlanInput *in, const char *name, uint64_t max,
                uint8_t **ret, size_t *ret_size) {
        uint64_t size = plan_input_size(in), at = 0;
        _cleanup_free_ uint8_t *bytes = NULL;

        if (size > max)
                return error_set(run->reterr, -EFBIG, "%s: %" PRIu64 " bytes are more than %" PRIu64, name,
                                size, max);
        bytes = calloc(1, size + 1);
        if (!bytes)
                return -ENOMEM;
        FOREACH_ARRAY(p, in->parts, in->n_parts) {
                int r = p->fd < 0 ? 0 : fd_pread_exact(p->fd, bytes + at, p->length, p->offset);

                if (r < 0)
                        return error_set(run->reterr, r, "%s: cannot read '%s': %s", name, p->label,
                                        strerror(-r));
                at += p->length;
        }
        *ret = TAKE_PTR(bytes);
        *ret_size = (size_t) size;
        return 0;
}

/* Linux Documentation/arch/x86/boot.rst. systemd's stub also measures sections, SMBIOS structures and archives that it makes; what other applications do is unknown. */
static int check_linux(const RtmrRun *run, const uint8_t *bytes, size_t size) {
        if (size >= SETUP_MAGIC + 4 && memcmp(bytes + SETUP_MAGIC, "HdrS", 4) == 0)
                return 0;
        return error_set(run->reterr, -EOPNOTSUPP,
                        "kernel '%s' has no setup header of Linux: what a unified kernel image or another UEFI application extends into RTMR0 to RTMR2 is not predicted; give the kernel, the initrd and the command line in it separately, or predict MRTD alone",
                        run->boot->plan->kernel.parts[0].label);
}

static int add_kernel(RtmrRun *run) {
        _cleanup_free_ uint8_t *bytes = NULL;
        uint8_t digest[SHA384_SIZE];
        size_t size;
        int r;

        if (run->boot->edk2.release < EDK2_PLAIN_KERNEL)
                return error_set(run->reterr, -EOPNOTSUPP,
                                "edk2 before %u measures the kernel as QEMU patched it, unless QEMU is 11.0 or later: this is not predicted",
                                (unsigned) EDK2_PLAIN_KERNEL);
        r = input_bytes(run, &run->boot->plan->kernel, "kernel", KERNEL_SIZE_MAX, &bytes, &size);
        if (r >= 0) {
                r = pe_digest(bytes, size, digest, run->reterr);
                if (r < 0)
                        return error_prefix(run->reterr, r, "kernel '%s'",
                                        run->boot->plan->kernel.parts[0].label);
                r = check_linux(run, bytes, size);
        }
        return r < 0 ? r
                     : rtmr_add_digest(run, 1, (uint32_t) EV_EFI_BOOT_SERVICES_APPLICATION,
                                       "kernel or boot loader (PE)", digest);
}

/* systemd.system-credentials(7) */
static bool has_word(const char *text, const char *word) {
        size_t n = strlen(word);

        for (const char *w = text; (w = strstr(w, word)); w += n)
                if ((w == text || w[-1] == ' ') && (!w[n] || w[n] == ' '))
                        return true;
        return false;
}

/* edk2 names the initrd to the kernel by a word, and makes each byte one UTF-16 unit. */
static int add_load_options(RtmrRun *run) {
        const LaunchPlan *plan = run->boot->plan;
        bool first = run->boot->edk2.release >= EDK2_INITRD_FIRST, initrd = plan->initrd.present;
        _cleanup_free_ uint8_t *words = NULL, *wide = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int n, r;

        r = input_bytes(run, &plan->cmdline, "command line", CMDLINE_MAX, &words, &size);
        if (r < 0)
                return r;
        run->events->imports = !has_word((const char *) words, "systemd.import_credentials=no");
        n = asprintf(&text, "%s%s%s", initrd && first ? "initrd=initrd " : "", (const char *) words,
                        initrd && !first ? " initrd=initrd" : "");
        if (n < 0)
                return -ENOMEM;
        if (n == 0)
                return 0;
        wide = calloc((size_t) n + 1, 2);
        if (!wide)
                return -ENOMEM;
        for (int i = 0; i < n; i++)
                wide[2 * i] = (uint8_t) text[i];
        return rtmr_add(run, 2, EV_EVENT_TAG, "kernel command line", wide, 2 * ((size_t) n + 1));
}

static int add_initrd(RtmrRun *run) {
        _cleanup_hash_ Hash *hash = NULL;
        uint8_t digest[SHA384_SIZE];
        int r;

        if (!run->boot->plan->initrd.present)
                return 0;
        r = hash_new(HASH_SHA384, &hash);
        if (r >= 0)
                r = input_feed(&run->boot->plan->initrd, 0, "initrd", hash, run->reterr);
        if (r >= 0)
                r = hash_final(hash, digest);
        return r < 0 ? r : rtmr_add_digest(run, 2, EV_EVENT_TAG, "initrd", digest);
}

/* --- all of it -------------------------------------------------------------------------------------------------------- */

static int add_rtmr0(RtmrRun *run, const TdvfInfo *info, const TdvfSection *cfv) {
        unsigned release = run->boot->edk2.release;
        int r = add_hob_and_variables(run, info, cfv);

        if (r >= 0 && release >= EDK2_FW_CFG)
                r = rtmr_add_items(run);
        if (r >= 0)
                r = add_secure_boot(run, cfv);
        if (r >= 0)
                r = add_separator(run, 0);
        if (r >= 0 && release >= EDK2_ACPI)
                r = rtmr_add_acpi(run);
        if (r >= 0 && release >= EDK2_FW_CFG)
                r = rtmr_add_smbios(run);
        if (r >= 0)
                r = add_boot_variables(run);
        if (r >= 0 && release < EDK2_SEPARATOR_IN_RTMR1)
                r = add_separator(run, 0);
        return r;
}

static int add_rtmr1(RtmrRun *run) {
        int r = add_kernel(run);

        if (r >= 0)
                r = add_action(run, "Calling EFI Application from Boot Option");
        if (r >= 0 && run->boot->edk2.release >= EDK2_SEPARATOR_IN_RTMR1)
                r = add_separator(run, 1);
        if (r >= 0)
                r = add_action(run, "Exit Boot Services Invocation");
        return r < 0 ? r : add_action(run, "Exit Boot Services Returned with Success");
}

int rtmr_predict(const RtmrBoot *boot, RtmrEvents *ret, char **reterr) {
        _cleanup_(rtmr_events_done) RtmrEvents events = {};
        RtmrRun run = { boot, &events, reterr };
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
        if (wanted & 1 << 0)
                r = add_rtmr0(&run, &info, cfv);
        if (r >= 0 && wanted & 1 << 1)
                r = add_rtmr1(&run);
        if (r >= 0 && wanted & 1 << 2)
                r = add_load_options(&run);
        if (r >= 0 && wanted & 1 << 2)
                r = add_initrd(&run);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(events, (RtmrEvents) {});
        return 0;
}
