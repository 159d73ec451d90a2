/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The event log of a TD: what firmware and kernel say that they extended RTMR0 to RTMR3 with.
 *
 * Theory of operation (TCG PC Client Platform Firmware Profile 1.06, "Crypto Agile Log Entry Format"; UEFI 2.10, 38.4): the first record
 * has the old form and names the algorithms, here SHA-384 alone; each further one is u32 register, u32 type, u32 count of digests, u16
 * algorithm and digest for each, u32 size, data. Registers are counted from MRTD = 0, so that RTMR0 is 1. Linux shows the log as
 * /sys/firmware/acpi/tables/data/CCEL. It ends at its size, or where the area is filled with ones or zeros.
 *
 * Nothing in a log is trusted: only its replay can be compared with a report, and of the data only that of a few types is what was hashed. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"
#include "tdx-abi.h"

/* OVMF reserves 64 KiB, Google 256 KiB; a boot logs some hundred events. */
#define TDX_LOG_SIZE_MAX   (1024u * 1024u)
#define TDX_LOG_EVENTS_MAX 4096u

/* TCG PC Client Platform Firmware Profile 1.06, "Event types". */
typedef enum TdxEventType {
        EV_NO_ACTION = 3,
        EV_SEPARATOR = 4,
        EV_EVENT_TAG = 6,
        EV_PLATFORM_CONFIG_FLAGS = 0xa,
        EV_IPL = 0xd,
        EV_EFI_VARIABLE_DRIVER_CONFIG = (int) 0x80000001,
        EV_EFI_VARIABLE_BOOT = (int) 0x80000002,
        EV_EFI_BOOT_SERVICES_APPLICATION = (int) 0x80000003,
        EV_EFI_GPT_EVENT = (int) 0x80000006,
        EV_EFI_ACTION = (int) 0x80000007,
        EV_EFI_HANDOFF_TABLES = (int) 0x80000009,
        EV_EFI_PLATFORM_FIRMWARE_BLOB2 = (int) 0x8000000a,
        EV_EFI_HANDOFF_TABLES2 = (int) 0x8000000b,
        EV_EFI_VARIABLE_AUTHORITY = (int) 0x800000e0,
} TdxEventType;

typedef struct TdxEvent {
        unsigned rtmr; /* 0 to 3 */
        uint32_t type;
        uint8_t digest[TDX_DIGEST_SIZE];
        const uint8_t *data; /* borrowed from the log */
        size_t size;
} TdxEvent;

typedef struct TdxLog {
        TdxEvent *events; /* owned; without those that extend nothing */
        size_t n_events;
} TdxLog;

void tdx_log_done(TdxLog *l);
/* -EBADMSG with an error message that names the record. The log borrows the bytes. */
_warn_unused_result_ int tdx_log_parse(const uint8_t *bytes, size_t size, TdxLog *ret, char **reterr);

/* What an event is, in words: "variable BootOrder", "ACPI: table loader"; owned, NULL: out of memory. `nth`: how many of ACPI's blobs came
 * before, since all have the same data. */
char *tdx_event_name(const TdxEvent *e, unsigned nth);
bool tdx_event_is_acpi(const TdxEvent *e);
