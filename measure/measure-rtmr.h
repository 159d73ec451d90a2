/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* RTMR0 to RTMR2 of a TD that boots a kernel directly, or a unified kernel image from a disk, event by event, before it boots.
 *
 * Theory of operation. RTMR := SHA-384(RTMR | digest) for each event. edk2 (TdTcg2Dxe) extends RTMR0 with what the host gives the firmware (memory, variables,
 * fw_cfg files, ACPI and SMBIOS tables, boot variables), RTMR1 with the kernel and the course of the boot; Linux's EFI stub extends RTMR2 with the command
 * line and the initrd. What is measured, and in which order, changed from release to release of edk2: Edk2Profile. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-hash.h"
#include "measure-firmware.h"
#include "plan.h"
#include "tdx-log.h"

typedef struct Edk2Profile {
        unsigned release; /* 202608 */
        bool secure_boot; /* the IntelTdx build; OvmfPkgX64 of Debian has no Secure Boot code */
} Edk2Profile;

/* "202608-inteltdx", "202502-ovmfx64"; -EINVAL with an error message. */
_warn_unused_result_ int edk2_profile_from_string(const char *s, Edk2Profile *ret, char **reterr);

/* The disk that the firmware boots: its boot loader is the plan's kernel. */
typedef struct RtmrDisk {
        const uint8_t *table; /* borrowed: the GPT's header, 92 bytes, and the entries in use, as edk2 measures them: UEFI_GPT_DATA */
        size_t size;
        bool read_only; /* the guest cannot write to it */
} RtmrDisk;

typedef struct RtmrBoot {
        const FirmwareImage *firmware; /* borrowed, like the rest */
        const LaunchPlan *plan;        /* kernel, initrd, command line */
        uint64_t ram;                  /* bytes */
        Edk2Profile edk2;
        const char *fw_cfg; /* folder with QEMU's files: etc/table-loader, etc/acpi/rsdp, etc/acpi/tables, etc/smbios/smbios-tables */
        unsigned registers;   /* a bit for each that is predicted; 0: all */
        const char *bios;     /* "VENDOR,VERSION,DATE" of the firmware, or NULL */
        const RtmrDisk *disk; /* NULL: a direct boot */
} RtmrBoot;

typedef struct RtmrEvent {
        unsigned rtmr;
        uint32_t type;
        char *name; /* owned */
        uint8_t digest[SHA384_SIZE];
} RtmrEvent;

typedef struct RtmrEvents {
        RtmrEvent *items; /* owned */
        size_t n_items;
        /* Predicted: as far as the command line says, systemd in the guest imports credentials of its host's, and no register shows which; or RTMR0
         * does. */
        bool imports, in_rtmr0;
} RtmrEvents;

void rtmr_events_done(RtmrEvents *e);
/* What becomes of credentials that a host adds, as reference bundles have it: "ignored", "rtmr0" (that register shows them) or "imported". */
const char *rtmr_host_credentials(const RtmrEvents *predicted);
_warn_unused_result_ int rtmr_predict(const RtmrBoot *boot, RtmrEvents *ret, char **reterr);
/* The events of a log, with names. */
_warn_unused_result_ int rtmr_events_from_log(const TdxLog *log, RtmrEvents *ret);
/* What the registers are after these events. */
_warn_unused_result_ int rtmr_replay(const RtmrEvents *e, uint8_t ret[static TDX_RTMRS][SHA384_SIZE]);

/* Registers are independent of each other: compares event by event in each. The first that differs in the lowest register: its position among
 * the events of that register, from 0 on; a missing one is NULL. 1: there is one; 0: none. */
typedef struct RtmrDifference {
        unsigned rtmr;
        size_t position;
        const RtmrEvent *predicted, *logged; /* borrowed */
} RtmrDifference;

int rtmr_compare(const RtmrEvents *predicted, const RtmrEvents *logged, RtmrDifference *ret);
