/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of a prediction share: for measure-rtmr-*.c alone. */

#include "firmware-variables.h"
#include "measure-rtmr.h"
#include "measure-stub.h"
#include "tdvf-metadata.h"

/* First release with a change. */
enum {
        EDK2_ACPI = 202302,
        EDK2_SEPARATOR_IN_RTMR1 = 202411,
        EDK2_PLAIN_KERNEL = 202502, /* reads the kernel as it is in the file, not as QEMU patched it */
        EDK2_FW_CFG = 202505,       /* fw_cfg files, SMBIOS tables, another menu */
        EDK2_INITRD_FIRST = 202508,
        EDK2_DISK = 202608, /* the one whose boots from a disk, and with Secure Boot, were compared */
};

typedef struct RtmrRun {
        const RtmrBoot *boot;
        RtmrEvents *events;
        char **reterr;
        uint8_t *kernel; /* owned: the application that the firmware starts */
        size_t kernel_size;
        uint8_t *words; /* owned: the kernel command line, and a NUL */
        size_t words_size;
        bool has_stub; /* the kernel is a unified kernel image */
        StubImage stub;
} RtmrRun;

void rtmr_run_done(RtmrRun *run);

/* One event, by its digest or by what is hashed. */
_warn_unused_result_ int rtmr_add_digest(RtmrRun *run, unsigned rtmr, uint32_t type, const char *name,
                const uint8_t digest[static SHA384_SIZE]);
_warn_unused_result_ int rtmr_add(
                RtmrRun *run, unsigned rtmr, uint32_t type, const char *name, const void *p, size_t n);

/* A kernel command line, each byte of which is one UTF-16 unit. */
_warn_unused_result_ int rtmr_add_words(RtmrRun *run, uint32_t type, const char *name, const char *text);
/* systemd in the guest imports no credentials of its host's. */
bool rtmr_has_shield(const char *text);

/* What the host gives the firmware: measure-rtmr-host.c. */
_warn_unused_result_ int rtmr_add_items(RtmrRun *run);
_warn_unused_result_ int rtmr_add_acpi(RtmrRun *run);
_warn_unused_result_ int rtmr_add_smbios(RtmrRun *run);
_warn_unused_result_ int rtmr_read_smbios(RtmrRun *run, char **ret, size_t *ret_size);
/* A file in --fw-cfg=: -ENOENT without a message where it is absent. */
_warn_unused_result_ int rtmr_take_item(const RtmrRun *run, const char *name, char **ret, size_t *ret_size);

/* What is started: measure-rtmr-kernel.c. The first one reads it, and refuses what is not predicted. */
_warn_unused_result_ int rtmr_read_kernel(RtmrRun *run);
_warn_unused_result_ int rtmr_add_application(RtmrRun *run);
_warn_unused_result_ int rtmr_add_payload(RtmrRun *run);

/* Its path, for messages. */
const char *rtmr_kernel_name(const RtmrRun *run);

/* Secure Boot: measure-rtmr-keys.c. The section is that of the variables. The last one refuses a unified kernel image where it is on. */
_warn_unused_result_ int rtmr_add_secure_boot(RtmrRun *run, const TdvfSection *cfv);
_warn_unused_result_ int rtmr_add_authority(RtmrRun *run, const TdvfSection *cfv);
_warn_unused_result_ int rtmr_check_stub_keys(const RtmrRun *run, const TdvfSection *cfv);

/* A unified kernel image: measure-rtmr-stub.c. Nothing is added where the kernel is not one. */
_warn_unused_result_ int rtmr_check_stub(const RtmrRun *run);
_warn_unused_result_ int rtmr_add_stub_strings(RtmrRun *run);
_warn_unused_result_ int rtmr_add_stub_kernel(RtmrRun *run);
_warn_unused_result_ int rtmr_add_stub_payload(RtmrRun *run);

/* A disk that the firmware boots: measure-rtmr-disk.c. */
_warn_unused_result_ int rtmr_add_disk_order(RtmrRun *run);
_warn_unused_result_ int rtmr_add_disk_table(RtmrRun *run);
