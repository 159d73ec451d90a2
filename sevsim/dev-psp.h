/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The simulated processor as a running guest sees it: reports signed by the made-up VCEK or VLEK, the host's table of certificates,
 * derived keys. AMD 56860, MSG_REPORT_REQ and MSG_KEY_REQ. A simulation: nothing of it is AMD's. */

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim-psp.h"

enum {
        DEV_DATA_SIZE = 64,
        DEV_CHIP_ID_SIZE = 64,
        DEV_KEY_SIZE = 32,
        DEV_REPORT_REQUEST_SIZE = 96,
        DEV_KEY_REQUEST_SIZE = 40,
        DEV_PAGE = 4096,
        DEV_CERTS_MAX = 16384, /* what the kernel takes, SEV_FW_BLOB_MAX_SIZE */
        DEV_VMPL_MAX = 3,
};

/* The status field of an answer. */
enum {
        DEV_STATUS_OK = 0,
        DEV_STATUS_INVALID_PARAM = 0x16,
        DEV_STATUS_INVALID_KEY = 0x27,
};

/* What of the launch is given by hand; a recorded launch brings all of it. */
typedef struct DevLaunch {
        const char *folder; /* a launch that sevsim recorded, or NULL */
        uint8_t measurement[48];
        uint8_t host_data[32];
        uint64_t policy;
        uint32_t guest_svn;
} DevLaunch;

/* What the host gives with a report; AMD 56421, "SNP Extended Guest Request". */
typedef struct DevCerts {
        uint8_t table[DEV_CERTS_MAX];
        size_t size; /* 0: the host has none */
} DevCerts;

typedef struct DevPsp {
        EVP_PKEY *vcek, *vlek;               /* owned */
        uint8_t report[PSP_SNP_REPORT_SIZE]; /* without what the guest asks and what the key adds */
        uint8_t chip_id[DEV_CHIP_ID_SIZE];
        uint8_t secret[32]; /* what derived keys come from: the same on the same platform */
        DevCerts with_vcek, with_vlek, damaged;
        bool table_damaged;
        bool vlek_loaded; /* by the host: it signs then, unless the guest asks for the other */
        uint32_t vmpl;    /* the guest's own level */
} DevPsp;

/* `platform` is a folder of sevsim-identity. */
int dev_psp_open(const char *platform, const DevLaunch *launch, bool certs, DevPsp *ret);
const DevCerts *dev_psp_certs(const DevPsp *psp);

/* Both return the status of the answer. `request` is laid out as the kernel's. */
uint32_t dev_psp_report(const DevPsp *psp, const uint8_t request[static DEV_REPORT_REQUEST_SIZE],
                uint8_t ret[static PSP_SNP_REPORT_SIZE]);
uint32_t dev_psp_key(const DevPsp *psp, unsigned version, const uint8_t request[static DEV_KEY_REQUEST_SIZE],
                uint8_t ret[static DEV_KEY_SIZE]);
