/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "guest-device.h"
#include "strutil.h"

#define REPORT_MAX   65536u
#define ATTEMPTS_MAX 8u /* somebody else used our entry each time: not by accident */

static int write_attribute(int dir, const char *name, const void *p, size_t n, char **reterr) {
        _cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
        int r = fd < 0 ? -errno : fd_write_all(fd, p, n);

        return r < 0 ? error_set(reterr, r, "TSM attribute '%s': %s", name, strerror(-r)) : 0;
}

static int read_attribute(int dir, const char *name, char **ret, size_t *ret_size, char **reterr) {
        _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
        int r = fd < 0 ? -errno : fd_read_all(fd, REPORT_MAX, ret, ret_size);

        return r < 0 ? error_set(reterr, r, "TSM attribute '%s': %s", name, strerror(-r)) : 0;
}

static int read_number(int dir, const char *name, uint64_t *ret, char **reterr) {
        _cleanup_free_ char *s = NULL;
        size_t n;
        int r;

        r = read_attribute(dir, name, &s, &n, reterr);
        if (r < 0)
                return r;
        s[strcspn(s, "\n")] = 0;
        r = parse_u64(s, ret);
        return r < 0 ? error_set(reterr, r, "TSM attribute '%s': '%s' is no number", name, s) : 0;
}

/* privlevel is refused below the kernel's own level, which privlevel_floor tells. */
static int set_level(int dir, uint32_t vmpl, char **reterr) {
        char number[16];
        uint64_t floor = 0;
        int n = snprintf(number, sizeof(number), "%u", vmpl);

        if (vmpl == GUEST_VMPL_ANY)
                return 0;
        if (read_number(dir, "privlevel_floor", &floor, NULL) == 0 && vmpl < floor)
                return error_set(reterr, -EINVAL,
                                "VMPL %u: this guest runs at VMPL %u and cannot speak for a lower number",
                                vmpl, (unsigned) floor);
        return write_attribute(dir, "privlevel", number, (size_t) n, reterr);
}

static int read_blobs(int dir, GuestReport *report, char **reterr) {
        _cleanup_free_ char *provider = NULL, *out = NULL, *aux = NULL;
        size_t n;
        int r;

        r = read_attribute(dir, "outblob", &out, &report->report_size, reterr);
        if (r < 0)
                return r;
        if (read_attribute(dir, "auxblob", &aux, &report->certs_size, NULL) < 0 || report->certs_size == 0)
                report->certs_size = 0;
        else
                report->certs = (uint8_t *) TAKE_PTR(aux);
        report->report = (uint8_t *) TAKE_PTR(out);
        if (read_attribute(dir, "provider", &provider, &n, NULL) == 0)
                provider[strcspn(provider, "\n")] = 0;
        (void) snprintf(report->interface, sizeof(report->interface), "tsm: %s", provider ?: "?");
        return 0;
}

static int ask(int dir, const uint8_t data[static GUEST_REPORT_DATA], uint32_t vmpl, GuestReport *ret,
                char **reterr) {
        for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
                _cleanup_(guest_report_done) GuestReport report = {};
                uint64_t before = 0, after = 0;
                int r;

                r = set_level(dir, vmpl, reterr);
                if (r == 0)
                        r = write_attribute(dir, "inblob", data, GUEST_REPORT_DATA, reterr);
                if (r == 0)
                        r = read_number(dir, "generation", &before, reterr);
                if (r == 0)
                        r = read_blobs(dir, &report, reterr);
                if (r == 0)
                        r = read_number(dir, "generation", &after, reterr);
                if (r < 0)
                        return r;
                if (before == after) {
                        *ret = TAKE_STRUCT(report, (GuestReport) {});
                        return 0;
                }
        }
        return error_set(reterr, -EAGAIN, "another process changes our TSM entry all the time");
}

int guest_report_by_tsm(const char *tree, const uint8_t data[static GUEST_REPORT_DATA], uint32_t vmpl,
                GuestReport *ret, char **reterr) {
        _cleanup_close_ int dir = -EBADF;
        char path[4096];
        int r;

        r = snprintf(path, sizeof(path), "%s/cvmspawn-%jd", tree, (intmax_t) getpid());
        if (r < 0 || (size_t) r >= sizeof(path))
                return -ENAMETOOLONG;
        if (mkdir(path, 0700) < 0) {
                r = -errno;
                return error_set(reterr, r,
                                r == -ENOENT ? "'%s' is not there: configfs is not mounted, or the kernel "
                                               "has no TSM reports"
                                             : "cannot make an entry in '%s'",
                                tree);
        }
        dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = dir < 0 ? error_set(reterr, -errno, "cannot open '%s': %s", path, strerror(errno))
                    : ask(dir, data, vmpl, ret, reterr);
        /* In configfs removing the directory removes its attributes. */
        (void) rmdir(path);
        return r;
}
