/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The simulated guest device: /dev/sev-guest by CUSE, the TSM report tree by FUSE, one loop that serves both.
 *
 * Theory of operation: the kernel hands over requests {fuse_in_header, body} on /dev/cuse and on /dev/fuse and takes answers
 * {fuse_out_header, body} (Linux include/uapi/linux/fuse.h). What the answers say copies drivers/virt/coco/sev-guest/sev-guest.c,
 * drivers/virt/coco/guest/report.c and fs/configfs/file.c of Linux in what a program can see; what they are made of comes from
 * dev-psp.c. */

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dev-psp.h"

/* The failures to simulate, as words of a file that is read at each request; counters restart when the file changes. */
typedef struct DevFaults {
        const char *path; /* NULL: nothing ever */
        char text[256];   /* as last read */
        bool busy;        /* the host throttles */
        bool no_channel;  /* the kernel lost its message key (VMPCK) */
        bool old_kernel;  /* no extended requests */
        bool no_provider; /* the driver has gone */
        bool wrong_data;  /* reports carry other data than was asked for */
        bool no_certs;
        bool grow;      /* the host has more certificates than there is room for, each time */
        bool bad_table; /* the host's certificates are none */
        bool vlek;      /* the host loaded one meanwhile */
        uint32_t vmpl;
        uint32_t fw_error;
        uint32_t status;
        uint32_t size;         /* of a report, as its header says */
        uint32_t pages;        /* of certificates that the host wants room for */
        unsigned races;        /* reports during which another process writes to the entry */
        unsigned again, ebusy; /* reads that fail so */
        char provider[32];
} DevFaults;

void dev_faults_read(DevFaults *f);

typedef struct DevTsm DevTsm;

typedef struct Dev {
        DevPsp *psp;
        DevFaults *faults;
        DevTsm *tsm;
        int fd; /* that the request came by */
        bool vlek;
        uint32_t vmpl; /* both from the start; words of the faults override them */
} Dev;

enum { DEV_BUFFER_SIZE = 256 * 1024, DEV_RESPONSE_SIZE = 4000, DEV_RESPONSE_HEADER = 32 };

/* r: 0 with a body, or -errno. */
void dev_reply(const Dev *d, uint64_t unique, int r, const void *body, size_t size);

/* What a request for a report comes to, in the driver: 0, or -errno with *ret_exit (firmware's error, hypervisor's error in the upper
 * half). `pages`: room for certificates. On a lack of room *ret_pages says what is needed. */
int dev_message_report(Dev *d, const uint8_t *request, bool extended, uint32_t pages,
                uint8_t response[static DEV_RESPONSE_SIZE], uint64_t *ret_exit, uint32_t *ret_pages);

/* dev-cuse.c */
int dev_cuse_start(const char *cuse, const char *name);
void dev_cuse_request(Dev *d, const struct fuse_in_header *h, const void *body);

/* dev-tsm.c */
int dev_tsm_start(const char *fuse, const char *place);
DevTsm *dev_tsm_new(void);
void dev_tsm_request(Dev *d, const struct fuse_in_header *h, const void *body);
