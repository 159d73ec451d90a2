/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The kernel's interface to the guest messages, include/uapi/linux/sev-guest.h: laid out here once, so that an older header does not limit
 * what we can ask for. */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define SEV_GUEST_MESSAGE_VERSION   1u
#define SEV_GUEST_MESSAGE_VERSION_2 2u /* MSG_KEY_REQ with LAUNCH_MIT_VECTOR */
#define SEV_GUEST_RESPONSE_SIZE     4000u
#define SEV_GUEST_VMM_INVALID_LEN   1u /* certs_len says what is needed */
#define SEV_GUEST_VMM_BUSY          2u

typedef struct SevGuestRequest {
        uint8_t message_version;
        uint64_t request, response; /* addresses */
        uint32_t firmware_error, vmm_error;
} SevGuestRequest;
static_assert(sizeof(SevGuestRequest) == 32, "ABI");
static_assert(offsetof(SevGuestRequest, request) == 8, "ABI");
static_assert(offsetof(SevGuestRequest, firmware_error) == 24, "ABI");

typedef struct SevGuestReportRequest {
        uint8_t data[64];
        uint32_t vmpl;
        uint8_t reserved[28];
} SevGuestReportRequest;
static_assert(sizeof(SevGuestReportRequest) == 96, "ABI");

typedef struct SevGuestExtendedRequest {
        SevGuestReportRequest report;
        uint64_t certs_address;
        uint32_t certs_size;
} SevGuestExtendedRequest;
static_assert(sizeof(SevGuestExtendedRequest) == 112, "ABI");
static_assert(offsetof(SevGuestExtendedRequest, certs_address) == 96, "ABI");

typedef struct SevGuestKeyRequest {
        uint32_t root_key_select, reserved;
        uint64_t field_select;
        uint32_t vmpl, guest_svn;
        uint64_t tcb_version;
        uint64_t launch_mit_vector; /* message version 2 only: the kernel copies as much as the version has */
} SevGuestKeyRequest;
static_assert(sizeof(SevGuestKeyRequest) == 40, "ABI");

/* What lies in the response: MSG_REPORT_RSP begins with status, size and 24 reserved bytes; MSG_KEY_RSP with status and 28. */
#define SEV_GUEST_RESPONSE_HEADER 32u

#define SEV_GUEST_GET_REPORT          _IOWR('S', 0x0, SevGuestRequest)
#define SEV_GUEST_GET_DERIVED_KEY     _IOWR('S', 0x1, SevGuestRequest)
#define SEV_GUEST_GET_EXTENDED_REPORT _IOWR('S', 0x2, SevGuestRequest)
