/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guest-device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "fd.h"
#include "guest-abi.h"
#include "overflow.h"
#include "secret.h"

/* AMD 56860, "ATTESTATION_REPORT structure" and the status codes of MSG_REPORT_RSP and MSG_KEY_RSP. */
#define SNP_REPORT_DATA      0x50u
#define STATUS_INVALID_PARAM 0x16u
#define STATUS_INVALID_KEY   0x27u

#define ROOM_ATTEMPTS_MAX                                                                                   \
        4u /* the host may load other certificates between two requests, but hardly more often */

void guest_report_done(GuestReport *r) {
        free(r->report);
        free(r->certs);
        *r = (GuestReport) {};
}

int guest_report_check(const GuestReport *r, const uint8_t data[static GUEST_REPORT_DATA], char **reterr) {
        if (r->report_size != GUEST_REPORT_SIZE)
                return error_set(reterr, -EBADMSG,
                                "the received report has %zu bytes, but an SNP report has %u: it was discarded",
                                r->report_size, GUEST_REPORT_SIZE);
        if (memcmp(r->report + SNP_REPORT_DATA, data, GUEST_REPORT_DATA) != 0)
                return error_set(reterr, -EBADMSG,
                                "the report data differs from the requested data: the report was discarded");
        return 0;
}

static int open_device(const char *device, char **reterr) {
        int fd = fd_open(device, O_RDWR, 0);

        if (fd == -ENOENT)
                return error_set(reterr, fd,
                                "'%s' does not exist: this is not an SNP guest, or the driver is not loaded (modprobe sev-guest)",
                                device);
        if (fd < 0)
                return error_set(reterr, fd, "cannot open '%s': %s%s", device, strerror(-fd),
                                fd == -EACCES || fd == -EPERM ? ": run as root" : "");
        return fd;
}

/* AMD 56860, status codes of the guest messages. */
static const char *explain_status(uint32_t status) {
        switch (status) {
        case STATUS_INVALID_PARAM:
                return "the firmware refused the parameters: a VMPL that this guest may not use, an SVN or TCB above its own, or unknown fields";
        case STATUS_INVALID_KEY:
                return "the firmware has no such key";
        default:
                return "AMD 56860 lists them";
        }
}

/* What the errors of the driver mean, as far as a user can act on it. */
static const char *explain(const SevGuestRequest *q, int r) {
        if (q->vmm_error == SEV_GUEST_VMM_BUSY)
                return "the host limits the rate of requests: try again later";
        if (r == -ENOTTY)
                return "the kernel lost its channel to the firmware (VMPCK), or does not support this request: see dmesg; "
                       "only a reboot of the guest restores a lost channel";
        if (q->firmware_error == STATUS_INVALID_PARAM || q->firmware_error == STATUS_INVALID_KEY)
                return explain_status(q->firmware_error);
        return "see dmesg";
}

static int fail(const SevGuestRequest *q, int r, const char *what, char **reterr) {
        return error_set(reterr, r, "%s failed: %s (firmware error 0x%x, hypervisor error 0x%x): %s", what,
                        strerror(-r), q->firmware_error, q->vmm_error, explain(q, r));
}

static int call(int fd, unsigned long number, SevGuestRequest *q) {
        q->firmware_error = q->vmm_error = 0;
        return ioctl(fd, number, q) < 0 ? -errno : 0;
}

/* *ret_status is the firmware's; only with 0 there is a report. */
static int take_report(const uint8_t response[static SEV_GUEST_RESPONSE_SIZE], GuestReport *ret,
                uint32_t *ret_status, char **reterr) {
        ByteReader r = byte_reader(response, SEV_GUEST_RESPONSE_SIZE);
        uint32_t size;
        const uint8_t *p;

        if (byte_reader_le32(&r, ret_status) < 0 || byte_reader_le32(&r, &size) < 0 ||
                        byte_reader_seek(&r, SEV_GUEST_RESPONSE_HEADER) < 0)
                return -EBADMSG;
        if (*ret_status != 0)
                return error_set(reterr, -EIO,
                                "the firmware answered the report request with status 0x%x: %s", *ret_status,
                                explain_status(*ret_status));
        if (size == 0 || byte_reader_take(&r, size, &p) < 0)
                return error_set(reterr, -EBADMSG, "the firmware's answer declares a report of %u bytes",
                                size);
        ret->report = malloc(size);
        if (!ret->report)
                return -ENOMEM;
        memcpy(ret->report, p, size);
        ret->report_size = size;
        return 0;
}

/* With certificates, in as much room as the host says it needs: 1 if there is no getting them, the note says why. The first time without
 * room: the answer is the report if there are none. */
static int ask_extended(int fd, SevGuestExtendedRequest *body, SevGuestRequest *q, GuestReport *report,
                char **reterr) {
        for (unsigned i = 0; i < ROOM_ATTEMPTS_MAX; i++) {
                uint64_t size = 0;
                int r = call(fd, SEV_GUEST_GET_EXTENDED_REPORT, q);

                if (r == 0 || r == -ENOTTY)
                        return r == 0 ? 0 : 1; /* an older kernel */
                if (r == -EINVAL && body->certs_size > 0) {
                        (void) snprintf(report->note, sizeof(report->note),
                                        "the host has %u bytes of certificates, which is more than this kernel accepts",
                                        body->certs_size);
                        return 1;
                }
                if (q->vmm_error != SEV_GUEST_VMM_INVALID_LEN)
                        return fail(q, r, "requesting an extended report", reterr);
                if (!align_u64(body->certs_size, 4096, &size) || size == 0 || size > GUEST_CERTS_MAX) {
                        (void) snprintf(report->note, sizeof(report->note),
                                        "the host declares %u bytes of certificates, which is too much",
                                        body->certs_size);
                        return 1;
                }
                free(report->certs);
                report->certs = calloc(1, size);
                if (!report->certs)
                        return -ENOMEM;
                report->certs_size = size;
                body->certs_address = (uintptr_t) report->certs;
                body->certs_size = (uint32_t) size;
        }
        (void) snprintf(report->note, sizeof(report->note),
                        "the host declares more certificates with each request");
        return 1;
}

static void drop_certs(GuestReport *r) {
        free(r->certs);
        r->certs = NULL;
        r->certs_size = 0;
}

static int ask(int fd, const uint8_t data[static GUEST_REPORT_DATA], uint32_t vmpl, GuestReport *ret,
                uint32_t *ret_status, char **reterr) {
        _cleanup_(guest_report_done) GuestReport report = { .interface = "ioctl" };
        _cleanup_free_ uint8_t *response = calloc(1, SEV_GUEST_RESPONSE_SIZE);
        SevGuestExtendedRequest body = { .report.vmpl = vmpl };
        SevGuestRequest q = { .message_version = SEV_GUEST_MESSAGE_VERSION,
                .request = (uintptr_t) &body,
                .response = (uintptr_t) response };
        int r;

        if (!response)
                return -ENOMEM;
        memcpy(body.report.data, data, GUEST_REPORT_DATA);
        r = ask_extended(fd, &body, &q, &report, reterr);
        if (r > 0) {
                drop_certs(&report);
                r = call(fd, SEV_GUEST_GET_REPORT, &q);
                if (r < 0)
                        r = fail(&q, r, "requesting a report", reterr);
        }
        if (r == 0)
                r = take_report(response, &report, ret_status, reterr);
        if (r == 0)
                r = guest_report_check(&report, data, reterr);
        if (r < 0)
                return r;
        if (report.certs && bytes_are_zero(report.certs, report.certs_size))
                drop_certs(&report);
        *ret = TAKE_STRUCT(report, (GuestReport) {});
        return 0;
}

int guest_report_by_device(const char *device, const uint8_t data[static GUEST_REPORT_DATA], uint32_t vmpl,
                GuestReport *ret, char **reterr) {
        _cleanup_close_ int fd = open_device(device, reterr);
        uint32_t status = 0;
        int r;

        if (fd < 0)
                return fd;
        if (vmpl != GUEST_VMPL_ANY)
                return ask(fd, data, vmpl, ret, &status, reterr);
        /* The guest's own level: the first that the firmware lets it speak for. */
        for (vmpl = 0;; vmpl++) {
                _cleanup_free_ char *error = NULL;

                r = ask(fd, data, vmpl, ret, &status, &error);
                if (r >= 0)
                        return r;
                if (status != STATUS_INVALID_PARAM || vmpl == GUEST_VMPL_MAX)
                        return error_set(reterr, r, "%s", error ?: strerror(-r));
                status = 0;
        }
}

int guest_derive_key(const char *device, const GuestKeyRequest *key, uint8_t ret[static GUEST_KEY_SIZE],
                char **reterr) {
        _cleanup_close_ int fd = open_device(device, reterr);
        uint8_t response[64] = {};
        SevGuestKeyRequest body = { .root_key_select = key->root_key,
                .field_select = key->fields,
                .vmpl = key->vmpl == GUEST_VMPL_ANY ? 0 : key->vmpl,
                .guest_svn = key->guest_svn,
                .tcb_version = key->tcb,
                .launch_mit_vector = key->launch_mit_vector };
        SevGuestRequest q = { .message_version = key->fields & GUEST_KEY_LAUNCH_MIT
                                ? SEV_GUEST_MESSAGE_VERSION_2
                                : SEV_GUEST_MESSAGE_VERSION,
                .request = (uintptr_t) &body,
                .response = (uintptr_t) response };
        int r;

        if (fd < 0)
                return fd;
        r = call(fd, SEV_GUEST_GET_DERIVED_KEY, &q);
        if (r < 0)
                r = fail(&q, r, "deriving a key", reterr);
        else if (le32_read(response) != 0)
                r = error_set(reterr, -EIO, "the firmware answered the key request with status 0x%x: %s",
                                le32_read(response), explain_status(le32_read(response)));
        if (r == 0)
                memcpy(ret, response + SEV_GUEST_RESPONSE_HEADER, GUEST_KEY_SIZE);
        erase_memory(response, sizeof(response));
        return r;
}
