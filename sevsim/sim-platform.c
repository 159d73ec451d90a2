/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests on /dev/sev: status of the simulated platform and the made-up identity that `sevsim-identity` wrote. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim-host.h"
#include "sim-machine.h"
#include "sim-platform.h"

enum {
        STATE_INITIALISED = 1,
        STATE_WORKING = 2,
        FLAG_CONFIG_ES = 1U << 8,
        CHAIN_SIZE = 3 * PSP_CERT_SIZE, /* PEK, OCA, CEK */
        CHIP_ID_SIZE = 64,
};

static int identity_file(const char *name, uint8_t *ret, size_t size) {
        const char *dir = getenv("CVMSPAWN_SEVSIM_PLATFORM");
        char path[4096];
        ssize_t n;
        int fd;

        if (!dir || snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int) sizeof(path))
                return -ENOENT;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, ret, size);
        close(fd);
        return n == (ssize_t) size ? 0 : -EIO;
}

static int platform_status(SimSevIssueCmd *cmd) {
        uint32_t guests = host_guest_count(/* snp= */ false);
        SimPlatformStatus s = {
                .api_major = PSP_API_MAJOR,
                .api_minor = PSP_API_MINOR,
                .state = guests > 0 ? STATE_WORKING : STATE_INITIALISED,
                .flags = FLAG_CONFIG_ES,
                .build = PSP_BUILD,
                .guest_count = guests,
        };
        return user_write(cmd->data, &s, sizeof(s));
}

static int snp_status(SimSevIssueCmd *cmd) {
        uint64_t tcb = generation_tcb(generation_of(getenv("CVMSPAWN_SEVSIM_PLATFORM")));
        SimSnpStatus s = {
                .api_major = PSP_API_MAJOR,
                .api_minor = PSP_API_MINOR,
                .state = STATE_INITIALISED,
                .rmp_initialized = 1,
                .build = PSP_BUILD,
                .guest_count = host_guest_count(/* snp= */ true),
                .current_tcb = tcb,
                .reported_tcb = tcb,
        };
        return user_write(cmd->data, &s, sizeof(s));
}

static int pdh_export(SimSevIssueCmd *cmd) {
        uint8_t pdh[PSP_CERT_SIZE], chain[CHAIN_SIZE];
        SimPdhExport e;
        bool fits;
        int r;

        r = user_read(&e, cmd->data, sizeof(e));
        if (r < 0)
                return r;
        fits = e.pdh_len >= sizeof(pdh) && e.chain_len >= sizeof(chain);
        if (fits) {
                if (identity_file("pdh.cert", pdh, sizeof(pdh)) < 0 ||
                                identity_file("pek.cert", chain, PSP_CERT_SIZE) < 0 ||
                                identity_file("oca.cert", chain + PSP_CERT_SIZE, PSP_CERT_SIZE) < 0 ||
                                identity_file("cek.cert", chain + (size_t) 2 * PSP_CERT_SIZE,
                                                PSP_CERT_SIZE) < 0) {
                        cmd->error = PSP_INVALID_PLATFORM_STATE;
                        return -EIO;
                }
                r = user_write(e.pdh_address, pdh, sizeof(pdh));
                if (r >= 0)
                        r = user_write(e.chain_address, chain, sizeof(chain));
        }
        e.pdh_len = sizeof(pdh);
        e.chain_len = sizeof(chain);
        if (r >= 0)
                r = user_write(cmd->data, &e, sizeof(e));
        if (r >= 0 && !fits) {
                cmd->error = PSP_INVALID_LENGTH;
                r = -EIO;
        }
        return r;
}

static int get_id2(SimSevIssueCmd *cmd) {
        uint8_t id[CHIP_ID_SIZE];
        SimGetId2 g;
        bool fits;
        int r;

        r = user_read(&g, cmd->data, sizeof(g));
        if (r < 0)
                return r;
        fits = g.length >= sizeof(id);
        if (fits) {
                if (identity_file("chip-id.bin", id, sizeof(id)) < 0) {
                        cmd->error = PSP_INVALID_PLATFORM_STATE;
                        return -EIO;
                }
                r = user_write(g.address, id, sizeof(id));
        }
        g.length = sizeof(id);
        if (r >= 0)
                r = user_write(cmd->data, &g, sizeof(g));
        if (r >= 0 && !fits) {
                cmd->error = PSP_INVALID_LENGTH;
                r = -EIO;
        }
        return r;
}

int platform_ioctl(unsigned long request, void *arg) {
        SimSevIssueCmd *cmd = arg;

        if (request != SIM_SEV_ISSUE_CMD)
                return -ENOTTY;
        cmd->error = PSP_SUCCESS;

        switch (cmd->cmd) {

        case PLATFORM_STATUS:
                return platform_status(cmd);

        case PLATFORM_SNP_STATUS:
                return snp_status(cmd);

        case PLATFORM_PDH_GEN:
                return platform_new_pdh(cmd);

        case PLATFORM_PDH_CERT_EXPORT:
                return pdh_export(cmd);

        case PLATFORM_GET_ID2:
                return get_id2(cmd);

        default:
                cmd->error = PSP_INVALID_COMMAND;
                return -EINVAL;
        }
}
