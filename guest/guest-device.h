/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Talking to the secure processor from inside an SNP guest, and to the kernel of a TD: /dev/sev-guest (Linux Documentation/virt/coco/sev-guest.rst; message formats
 * AMD 56860, MSG_REPORT_REQ, MSG_KEY_REQ) and the TSM tree in configfs (Documentation/ABI/testing/configfs-tsm-report).
 * The device and the tree are parameters: tests bring their own. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define GUEST_DEVICE      "/dev/sev-guest"
#define GUEST_TSM         "/sys/kernel/config/tsm/report"
#define GUEST_REPORT_DATA 64u
#define GUEST_KEY_SIZE    32u
#define GUEST_REPORT_SIZE 0x4a0u        /* of every version */
#define GUEST_CERTS_MAX   (64u * 1024u) /* the kernel takes 16 KiB */
#define GUEST_VMPL_MAX    3u
#define GUEST_VMPL_ANY    0xffffffffu /* the guest's own: the most privileged that it may speak for */

typedef struct GuestReport {
        uint8_t *report; /* owned; the raw bytes, whatever their version: an SNP report, or a TD's quote */
        size_t report_size;
        uint8_t *certs; /* owned; the host's certificate table, NULL if it gave none */
        size_t certs_size;
        char interface[32]; /* "tsm: sev_guest", "tsm: tdx_guest" or "ioctl" */
        char note[160];     /* why the certificates that the host has are not there, or empty */
} GuestReport;

void guest_report_done(GuestReport *r);
/* It has a report's size and carries the data that was asked for: everything else is the verifier's to judge. */
_warn_unused_result_ int guest_report_check(
                const GuestReport *r, const uint8_t data[static GUEST_REPORT_DATA], char **reterr);

/* It has a quote's form and carries the data. */
_warn_unused_result_ int guest_quote_check(
                const GuestReport *r, const uint8_t data[static GUEST_REPORT_DATA], char **reterr);

/* -ENOENT with an error message if the interface is not there, -ENXIO if nothing answers behind it; vmpl: 0 to 3 or GUEST_VMPL_ANY. */
_warn_unused_result_ int guest_report_by_tsm(const char *tree, const uint8_t data[static GUEST_REPORT_DATA],
                uint32_t vmpl, GuestReport *ret, char **reterr);
_warn_unused_result_ int guest_report_by_device(const char *device,
                const uint8_t data[static GUEST_REPORT_DATA], uint32_t vmpl, GuestReport *ret,
                char **reterr);

/* By "tsm", "ioctl", or "auto" (also NULL): the tree first, the device else. -EINVAL for other names. */
_warn_unused_result_ int guest_report_get(const char *interface, const char *tree, const char *device,
                const uint8_t data[static GUEST_REPORT_DATA], uint32_t vmpl, GuestReport *ret,
                char **reterr);

/* GUEST_FIELD_SELECT */
enum {
        GUEST_KEY_POLICY = 1 << 0,
        GUEST_KEY_IMAGE_ID = 1 << 1,
        GUEST_KEY_FAMILY_ID = 1 << 2,
        GUEST_KEY_MEASUREMENT = 1 << 3,
        GUEST_KEY_SVN = 1 << 4,
        GUEST_KEY_TCB = 1 << 5,
        GUEST_KEY_LAUNCH_MIT = 1 << 6,
};

typedef struct GuestKeyRequest {
        uint32_t root_key; /* 0: VCEK, or VLEK if one is loaded; 1: VMRK */
        uint64_t fields;
        uint32_t vmpl, guest_svn;
        uint64_t tcb;
        uint64_t launch_mit_vector; /* with GUEST_KEY_LAUNCH_MIT: message version 2 */
} GuestKeyRequest;

/* The key is the caller's to erase. */
_warn_unused_result_ int guest_derive_key(const char *device, const GuestKeyRequest *request,
                uint8_t ret[static GUEST_KEY_SIZE], char **reterr);
