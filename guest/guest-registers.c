/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guest-registers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "strutil.h"

#define MEASUREMENTS "/sys/devices/virtual/misc/tdx_guest/measurements/"
#define EVENT_LOG    "/sys/firmware/acpi/tables/data/CCEL"

const char *guest_register_name(unsigned i) {
        static const char *const names[GUEST_REGISTERS] = { "mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3" };

        return names[i];
}

static int path_of(const char *root, unsigned i, char **ret) {
        if (asprintf(ret, "%s" MEASUREMENTS "%s:sha384", root, guest_register_name(i)) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int failed(const char *what, const char *path, int r, char **reterr) {
        if (r == -ENOMEM)
                return r;
        if (r == -ENOENT || r == -ENOTDIR)
                return error_set(reterr, r,
                                "'%s' does not exist: this is not a TD, the driver is not loaded (modprobe tdx-guest), or Linux is older than 6.16",
                                path);
        return error_set(reterr, r, "cannot %s '%s': %s%s", what, path, strerror(-r),
                        r == -EACCES || r == -EPERM ? "; only root can" : "");
}

int guest_register_read(
                const char *root, unsigned i, uint8_t ret[static GUEST_REGISTER_SIZE], char **reterr) {
        _cleanup_free_ char *path = NULL, *data = NULL;
        size_t size;
        int r = path_of(root, i, &path);

        if (r < 0)
                return r;
        r = file_read_all(path, GUEST_REGISTER_SIZE, &data, &size);
        if (r < 0)
                return failed("read", path, r, reterr);
        if (size != GUEST_REGISTER_SIZE)
                return error_set(reterr, -EBADMSG, "'%s' has %zu bytes, but a register has %u", path, size,
                                GUEST_REGISTER_SIZE);
        memcpy(ret, data, GUEST_REGISTER_SIZE);
        return 0;
}

int guest_register_extend(const char *root, unsigned rtmr, const uint8_t digest[static GUEST_REGISTER_SIZE],
                char **reterr) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;
        int r;

        if (rtmr < GUEST_EXTENDED_FIRST || rtmr > GUEST_EXTENDED_LAST)
                return error_set(reterr, -EINVAL, "RTMR%u belongs to the firmware: expected 2 or 3", rtmr);
        r = path_of(root, rtmr + 1, &path);
        if (r < 0)
                return r;
        fd = fd_open(path, O_WRONLY, 0);
        if (fd < 0)
                return failed("open", path, fd, reterr);
        /* The kernel extends once for each write, which has to have all bytes. */
        n = write(fd, digest, GUEST_REGISTER_SIZE);
        if (n < 0)
                return failed("write to", path, -errno, reterr);
        if (n != (ssize_t) GUEST_REGISTER_SIZE)
                return error_set(reterr, -EIO, "cannot write to '%s': it took %zd bytes of %u", path, n,
                                GUEST_REGISTER_SIZE);
        return 0;
}

int guest_event_log_read(const char *root, char **ret, size_t *ret_size, char **reterr) {
        static const char head[] = "Spec ID Event03";
        const size_t at = 32; /* behind the first record's register, type, digest and size */
        _cleanup_free_ char *path = NULL, *data = NULL;
        size_t size;
        int r;

        if (asprintf(&path, "%s" EVENT_LOG, root) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = file_read_all(path, GUEST_LOG_SIZE_MAX, &data, &size);
        if (r == -ENOENT || r == -ENOTDIR)
                return error_set(reterr, r,
                                "'%s' does not exist: this is not a TD, or its firmware writes no event log",
                                path);
        if (r < 0)
                return failed("read", path, r, reterr);
        if (size < at + sizeof(head) || memcmp(data + at, head, sizeof(head)) != 0)
                return error_set(reterr, -EBADMSG, "'%s' does not begin like an event log", path);
        *ret = TAKE_PTR(data);
        *ret_size = size;
        return 0;
}
