/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The events of RTMR0 that come from QEMU's fw_cfg files, ACPI and SMBIOS tables among them. They are hashed as QEMU serves them, before the firmware
 * patches addresses into them. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "fd.h"
#include "measure-rtmr-run.h"
#include "measure-smbios.h"
#include "strutil.h"

#define FW_CFG_SIZE_MAX ((size_t) 4 << 20)

int rtmr_take_item(const RtmrRun *run, const char *name, char **ret, size_t *ret_size) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", run->boot->fw_cfg, name) < 0)
                return -ENOMEM;
        r = file_read_all(path, FW_CFG_SIZE_MAX, ret, ret_size);
        return r == -ENOENT ? r
                        : r < 0
                        ? error_set(run->reterr, r, "--fw-cfg: cannot read '%s': %s", path, strerror(-r))
                        : 0;
}

static int read_needed(const RtmrRun *run, const char *name, char **ret, size_t *ret_size) {
        int r = rtmr_take_item(run, name, ret, ret_size);

        return r == -ENOENT
                        ? error_set(run->reterr, r, "--fw-cfg: '%s/%s' is missing", run->boot->fw_cfg, name)
                        : r;
}

/* One that was not saved has the content of a direct boot; NULL: such a boot has none. */
static int add_item(RtmrRun *run, const char *name, const char *usual, size_t usual_size) {
        _cleanup_free_ char *data = NULL;
        char label[80];
        size_t size = 0;
        int r = rtmr_take_item(run, name, &data, &size);

        if (r < 0 && r != -ENOENT)
                return r;
        if (r == -ENOENT && !usual)
                return 0;
        (void) snprintf(label, sizeof(label), "fw_cfg %s", name);
        return rtmr_add(run, 0, EV_PLATFORM_CONFIG_FLAGS, label, data ?: usual, data ? size : usual_size);
}

int rtmr_add_items(RtmrRun *run) {
        static const char loader[] = "/rom@genroms/linuxboot_dma.bin";
        const struct {
                const char *name, *usual;
                size_t size;
        } items[] = {
                { "etc/extra-pci-roots", NULL, 0 },
                { "BootMenu", "\0", 2 },
                { "etc/boot-menu-wait", NULL, 0 },
                { "etc/reserved-memory-end", NULL, 0 },
                { "opt/ovmf/X-PciMmio64Mb", NULL, 0 },
                { "bootorder", run->boot->disk ? NULL : loader, sizeof(loader) },
        };
        int r = 0;

        FOREACH_ARRAY(i, items, ELEMENTSOF(items))
                if (r >= 0)
                        r = add_item(run, i->name, i->usual, i->size);
        return r;
}

/* QEMU hw/acpi/bios-linker-loader.c: entries of 128 bytes, u32 command, then for ALLOCATE the file's name. */
#define LOADER_ENTRY    128u
#define LOADER_ALLOCATE 1u
#define LOADER_NAME     56u

int rtmr_add_acpi(RtmrRun *run) {
        _cleanup_free_ char *script = NULL;
        size_t size;
        int r = read_needed(run, "etc/table-loader", &script, &size);

        if (r >= 0)
                r = rtmr_add(run, 0, EV_PLATFORM_CONFIG_FLAGS, "ACPI: table loader", script, size);
        for (size_t at = 0; r >= 0 && at + LOADER_ENTRY <= size; at += LOADER_ENTRY) {
                _cleanup_free_ char *name = NULL, *data = NULL, *label = NULL;
                size_t n;

                if (le32_read(script + at) != LOADER_ALLOCATE)
                        continue;
                name = strndup(script + at + 4, LOADER_NAME);
                if (!name)
                        return -ENOMEM;
                /* The name comes from a file: it must not lead out of the folder. */
                if (name[0] == '/' || strstr(name, ".."))
                        return error_set(run->reterr, -EBADMSG,
                                        "--fw-cfg: the table loader names the file '%s'", name);
                r = read_needed(run, name, &data, &n);
                if (r < 0)
                        return r;
                if (asprintf(&label, "ACPI: %s",
                                    streq(name, "etc/acpi/rsdp")                     ? "RSDP"
                                                    : streq(name, "etc/acpi/tables") ? "tables"
                                                                                     : name) < 0)
                        return -ENOMEM;
                r = rtmr_add(run, 0, EV_PLATFORM_CONFIG_FLAGS, label, data, n);
        }
        return r;
}

int rtmr_read_smbios(RtmrRun *run, char **ret, size_t *ret_size) {
        return read_needed(run, "etc/smbios/smbios-tables", ret, ret_size);
}

int rtmr_add_smbios(RtmrRun *run) {
        _cleanup_free_ char *tables = NULL;
        uint8_t digest[SHA384_SIZE];
        size_t size;
        int r = rtmr_read_smbios(run, &tables, &size);

        if (r >= 0)
                r = smbios_digest((const uint8_t *) tables, size, run->boot->bios, digest, run->reterr);
        return r < 0 ? r
                     : rtmr_add_digest(run, 0, (uint32_t) EV_EFI_HANDOFF_TABLES, "SMBIOS tables", digest);
}
