/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sevsim-attest: the report that a guest of a recorded launch would get from the simulated platform, signed by its
 * made-up VCEK or VLEK. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim-bytes.h"
#include "sim-cert.h"
#include "sim-psp.h"

enum {
        REPORT_VMPL = 0x030,
        REPORT_KEY_INFO = 0x048,
        REPORT_DATA = 0x050,
        REPORT_CHIP_ID = 0x1a0,
        REPORT_SIGNED = 0x2a0,
        DATA_SIZE = 64,
        CHIP_ID_SIZE = 64,
        KEY_INFO_VLEK = 1 << 2,
        VMPL_MAX = 3,
};

typedef struct Request {
        bool vlek;
        unsigned long vmpl;
        const char *platform;
        const char *launch;
        const char *data; /* hex */
        const char *report;
} Request;

static const char usage[] =
                "Usage: sevsim-attest [--vlek] [--vmpl=N] PLATFORM LAUNCH REPORT-DATA REPORT\n"
                "Writes the attestation report of a recorded SNP launch, signed by the simulated platform.\n"
                "REPORT-DATA has 128 hex digits. A simulation: the signature is not AMD's.\n";

static int read_file(const char *folder, const char *name, uint8_t *ret, size_t size) {
        char path[4096];
        ssize_t n;
        int fd;

        if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int) sizeof(path))
                return -ENAMETOOLONG;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, ret, size);
        close(fd);
        return n == (ssize_t) size ? 0 : -EIO;
}

static EVP_PKEY *read_key(const char *folder, const char *name) {
        char path[4096];
        EVP_PKEY *key;
        FILE *f;

        if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int) sizeof(path))
                return NULL;
        f = fopen(path, "re");
        if (!f)
                return NULL;
        key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        fclose(f);
        return key;
}

static int parse_data(const char *hex, uint8_t ret[static DATA_SIZE]) {
        if (strlen(hex) != (size_t) DATA_SIZE * 2 ||
                        strspn(hex, "0123456789abcdefABCDEF") != (size_t) DATA_SIZE * 2)
                return -EINVAL;
        for (size_t i = 0; i < DATA_SIZE; i++) {
                const char digits[] = { hex[2 * i], hex[2 * i + 1], 0 };
                ret[i] = (uint8_t) strtoul(digits, NULL, 16);
        }
        return 0;
}

static int write_report(const char *path, const uint8_t *report) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        ssize_t n;
        int r = 0;

        if (fd < 0)
                return -errno;
        n = write(fd, report, PSP_SNP_REPORT_SIZE);
        if (n != PSP_SNP_REPORT_SIZE)
                r = n < 0 ? -errno : -ENOSPC;
        if (close(fd) < 0 && r == 0)
                r = -errno;
        if (r < 0)
                (void) unlink(path);
        return r;
}

static int attest(const Request *request) {
        uint8_t report[PSP_SNP_REPORT_SIZE];
        EVP_PKEY *key;
        int r;

        r = read_file(request->launch, "report.bin", report, sizeof(report));
        if (r < 0)
                return r;
        r = parse_data(request->data, report + REPORT_DATA);
        if (r < 0)
                return r;
        put_le32(report + REPORT_VMPL, (uint32_t) request->vmpl);
        if (request->vlek) /* the chip stays unnamed */
                report[REPORT_KEY_INFO] |= KEY_INFO_VLEK;
        else {
                r = read_file(request->platform, "chip-id.bin", report + REPORT_CHIP_ID, CHIP_ID_SIZE);
                if (r < 0)
                        return r;
        }

        key = read_key(request->platform, request->vlek ? "vlek.key" : "vcek.key");
        if (!key)
                return -ENOKEY;
        r = ec_sig_make(key, EVP_sha384(), report, REPORT_SIGNED, report + REPORT_SIGNED);
        EVP_PKEY_free(key);
        return r < 0 ? r : write_report(request->report, report);
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "vlek", no_argument, NULL, 'l' },
                { "vmpl", required_argument, NULL, 'v' },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        Request request = {};
        int c, r;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'l':
                        request.vlek = true;
                        break;
                case 'v':
                        request.vmpl = strtoul(optarg, NULL, 10);
                        break;
                case 'h':
                        fputs(usage, stdout);
                        return EXIT_SUCCESS;
                default:
                        return EXIT_FAILURE;
                }
        if (argc - optind != 4 || request.vmpl > VMPL_MAX) {
                fputs(usage, stderr);
                return EXIT_FAILURE;
        }
        request.platform = argv[optind];
        request.launch = argv[optind + 1];
        request.data = argv[optind + 2];
        request.report = argv[optind + 3];

        r = attest(&request);
        if (r < 0) {
                fprintf(stderr, "sevsim-attest (simulation): cannot make a report of '%s' on '%s': %s\n",
                                request.launch, request.platform, strerror(-r));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
