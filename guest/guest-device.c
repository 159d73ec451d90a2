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

void guest_report_done(GuestReport *r) {
        free(r->report);
        free(r->certs);
        *r = (GuestReport) {};
}

static int open_device(const char *device, char **reterr) {
        int fd = fd_open(device, O_RDWR, 0);

        if (fd == -ENOENT)
                return error_set(reterr, fd,
                                "'%s' is not there: not an SNP guest, or its driver is not loaded (modprobe "
                                "sev-guest)",
                                device);
        if (fd < 0)
                return error_set(reterr, fd, "cannot open '%s': %s", device, strerror(-fd));
        return fd;
}

/* What the firmware's and the hypervisor's numbers mean, as far as a user can act on it. */
static const char *explain(const SevGuestRequest *q) {
        if (q->vmm_error == SEV_GUEST_VMM_BUSY)
                return "the host limits the rate of requests: try again";
        switch (q->firmware_error) {
        case 0x16:
                return "the firmware refuses the parameters: a VMPL that this guest may not speak for, or "
                       "fields it does not know";
        case 0x27:
                return "the firmware has no such key";
        default:
                return "see dmesg";
        }
}

static int request(int fd, unsigned long number, const char *what, SevGuestRequest *q, char **reterr) {
        if (ioctl(fd, number, q) < 0) {
                int r = -errno;

                return error_set(reterr, r, "%s failed: %s (firmware error 0x%x, hypervisor error 0x%x): %s",
                                what, strerror(-r), q->firmware_error, q->vmm_error, explain(q));
        }
        return 0;
}

static int take_report(
                const uint8_t response[static SEV_GUEST_RESPONSE_SIZE], GuestReport *ret, char **reterr) {
        ByteReader r = byte_reader(response, SEV_GUEST_RESPONSE_SIZE);
        uint32_t status, size;
        const uint8_t *p;

        if (byte_reader_le32(&r, &status) < 0 || byte_reader_le32(&r, &size) < 0 ||
                        byte_reader_seek(&r, SEV_GUEST_RESPONSE_HEADER) < 0)
                return -EBADMSG;
        if (status != 0)
                return error_set(reterr, -EIO, "the firmware answered the report request with status 0x%x",
                                status);
        if (size == 0 || byte_reader_take(&r, size, &p) < 0)
                return error_set(reterr, -EBADMSG, "the firmware's answer says that the report has %u bytes",
                                size);
        ret->report = malloc(size);
        if (!ret->report)
                return -ENOMEM;
        memcpy(ret->report, p, size);
        ret->report_size = size;
        return 0;
}

int guest_report_by_device(const char *device, const uint8_t data[static GUEST_REPORT_DATA], uint32_t vmpl,
                GuestReport *ret, char **reterr) {
        _cleanup_close_ int fd = open_device(device, reterr);
        _cleanup_(guest_report_done) GuestReport report = { .interface = "ioctl" };
        _cleanup_free_ uint8_t *response = calloc(1, SEV_GUEST_RESPONSE_SIZE), *certs = NULL;
        SevGuestExtendedRequest body = { .report.vmpl = vmpl == GUEST_VMPL_ANY ? 0 : vmpl };
        SevGuestRequest q = { .message_version = SEV_GUEST_MESSAGE_VERSION,
                .request = (uintptr_t) &body,
                .response = (uintptr_t) response };
        int r;

        if (fd < 0)
                return fd;
        if (!response)
                return -ENOMEM;
        memcpy(body.report.data, data, GUEST_REPORT_DATA);

        /* Without room for certificates first: the answer is the report if there are none, else how much room to make. */
        r = ioctl(fd, SEV_GUEST_GET_EXTENDED_REPORT, &q) < 0 ? -errno : 0;
        if (r < 0 && q.vmm_error == SEV_GUEST_VMM_INVALID_LEN) {
                uint64_t size = 0;

                if (!align_u64(body.certs_size, 4096, &size) || size == 0 || size > GUEST_CERTS_MAX)
                        return error_set(reterr, -EMSGSIZE,
                                        "the host wants room for %u bytes of certificates", body.certs_size);
                certs = calloc(1, size);
                if (!certs)
                        return -ENOMEM;
                body.certs_address = (uintptr_t) certs;
                body.certs_size = (uint32_t) size;
                q.firmware_error = q.vmm_error = 0;
                r = request(fd, SEV_GUEST_GET_EXTENDED_REPORT, "asking for an extended report", &q, reterr);
        } else if (r < 0) {
                q.firmware_error = q.vmm_error = 0;
                r = request(fd, SEV_GUEST_GET_REPORT, "asking for a report", &q, reterr);
        }
        if (r < 0)
                return r;
        r = take_report(response, &report, reterr);
        if (r < 0)
                return r;
        if (certs && !bytes_are_zero(certs, body.certs_size)) {
                report.certs_size = body.certs_size;
                report.certs = TAKE_PTR(certs);
        }
        *ret = TAKE_STRUCT(report, (GuestReport) {});
        return 0;
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
        r = request(fd, SEV_GUEST_GET_DERIVED_KEY, "deriving a key", &q, reterr);
        if (r == 0 && le32_read(response) != 0)
                r = error_set(reterr, -EIO, "the firmware answered the key request with status 0x%x",
                                le32_read(response));
        if (r == 0)
                memcpy(ret, response + SEV_GUEST_RESPONSE_HEADER, GUEST_KEY_SIZE);
        erase_memory(response, sizeof(response));
        return r;
}
