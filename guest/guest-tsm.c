/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
        return r < 0 ? error_set(reterr, r, "TSM attribute '%s': '%s' is not a number", name, s) : 0;
}

/* privlevel is refused below the kernel's own level, which privlevel_floor tells; left alone it is 0. *writes counts. */
static int set_level(int dir, uint32_t vmpl, uint64_t *writes, char **reterr) {
        char number[24];
        uint64_t floor = 0;
        int n;

        if (read_number(dir, "privlevel_floor", &floor, NULL) < 0)
                floor = 0;
        if (vmpl != GUEST_VMPL_ANY && vmpl < floor)
                return error_set(reterr, -EINVAL,
                                "VMPL %u: this guest runs at VMPL %u and cannot use a lower number", vmpl,
                                (unsigned) floor);
        if (vmpl == GUEST_VMPL_ANY && floor == 0)
                return 0;
        n = snprintf(number, sizeof(number), "%" PRIu64, vmpl == GUEST_VMPL_ANY ? floor : vmpl);
        ++*writes;
        return write_attribute(dir, "privlevel", number, (size_t) n, reterr);
}

/* What the driver's errors mean; it tells no numbers here. */
static const char *explain(int r) {
        switch (r) {
        case -ETIMEDOUT:
                return "the host limits the rate of requests: try again later";
        case -ENOTTY:
                return "the kernel lost its channel to the firmware (VMPCK): see dmesg; only a reboot of the guest restores it";
        case -ENXIO:
                return "the firmware refused the request, or its driver was removed: --interface=ioctl reports its status";
        case -EIO:
                return "the firmware or the host refused: --interface=ioctl reports their errors, and so does dmesg";
        default:
                return NULL;
        }
}

/* 1: somebody else is at it, try again. */
static int read_blobs(int dir, GuestReport *report, char **reterr) {
        _cleanup_free_ char *out = NULL, *aux = NULL, *error = NULL;
        int r;

        r = read_attribute(dir, "outblob", &out, &report->report_size, &error);
        if (r == -EAGAIN || r == -EBUSY || r == -EINTR)
                return 1;
        if (r < 0)
                return error_set(reterr, r, "%s%s%s", error ?: strerror(-r), explain(r) ? ": " : "",
                                explain(r) ?: "");
        if (read_attribute(dir, "auxblob", &aux, &report->certs_size, NULL) < 0 || report->certs_size == 0)
                report->certs_size = 0;
        else
                report->certs = (uint8_t *) TAKE_PTR(aux);
        report->report = (uint8_t *) TAKE_PTR(out);
        return 0;
}

/* What a driver's reports look like. Others have other layouts: what they mean is not ours to say. */
typedef struct Provider {
        const char *name;
        bool levels;
        int (*check)(const GuestReport *r, const uint8_t data[static GUEST_REPORT_DATA], char **reterr);
} Provider;

static const Provider providers[] = {
        { "sev_guest", true, guest_report_check },
        { "tdx_guest", false, guest_quote_check },
};

static int check_provider(
                int dir, uint32_t vmpl, char interface[static 32], const Provider **ret, char **reterr) {
        _cleanup_free_ char *provider = NULL;
        size_t n;
        int r;

        r = read_attribute(dir, "provider", &provider, &n, reterr);
        if (r < 0)
                return r;
        provider[strcspn(provider, "\n")] = 0;
        *ret = NULL;
        FOREACH_ARRAY(p, providers, ELEMENTSOF(providers))
                if (streq(provider, p->name))
                        *ret = p;
        if (!*ret)
                return error_set(reterr, -EOPNOTSUPP,
                                "the kernel's reports come from '%s' here, not from sev_guest or tdx_guest: this is neither an SEV-SNP guest nor a TD",
                                provider);
        if (vmpl != GUEST_VMPL_ANY && !(*ret)->levels)
                return error_set(reterr, -EINVAL, "a TD has no privilege levels: leave out --vmpl");
        (void) snprintf(interface, 32, "tsm: %s", provider);
        return 0;
}

/* generation counts the writes to an entry: ours alone if it moved by as many as we made. */
static int ask(int dir, const uint8_t data[static GUEST_REPORT_DATA], uint32_t vmpl, GuestReport *ret,
                char **reterr) {
        bool busy = false;

        for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
                _cleanup_(guest_report_done) GuestReport report = {};
                uint64_t before = 0, after = 0, writes = 1;
                const Provider *provider;
                int r;

                r = check_provider(dir, vmpl, report.interface, &provider, reterr);
                if (r == 0)
                        r = read_number(dir, "generation", &before, reterr);
                if (r == 0)
                        r = set_level(dir, vmpl, &writes, reterr);
                if (r == 0)
                        r = write_attribute(dir, "inblob", data, GUEST_REPORT_DATA, reterr);
                if (r == 0)
                        r = read_blobs(dir, &report, reterr);
                busy = r > 0;
                if (r == 0)
                        r = read_number(dir, "generation", &after, reterr);
                if (r < 0)
                        return r;
                if (busy || after - before != writes)
                        continue;
                r = provider->check(&report, data, reterr);
                if (r == 0)
                        *ret = TAKE_STRUCT(report, (GuestReport) {});
                return r;
        }
        return error_set(reterr, -EAGAIN,
                        busy ? "the kernel's report interface was busy %u times: try again"
                             : "another process wrote to our TSM entry in each of %u attempts",
                        ATTEMPTS_MAX);
}

/* An entry of our own. A name can be taken: by another container's process of the same number, or by one that was killed. */
static int make_entry(const char *tree, char ret[static 4096], char **reterr) {
        for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
                int r = snprintf(ret, 4096, "%s/cvmspawn-%jd-%u", tree, (intmax_t) getpid(), i);

                if (r < 0 || r >= 4096)
                        return -ENAMETOOLONG;
                if (mkdir(ret, 0700) >= 0)
                        return 0;
                r = -errno;
                if (r == -EEXIST)
                        continue;
                if (r == -ENOENT)
                        return error_set(reterr, r,
                                        "'%s' does not exist: configfs is not mounted, or the kernel does not support TSM reports",
                                        tree);
                if (r == -ENXIO)
                        return error_set(reterr, r,
                                        "no driver provides reports in '%s' (modprobe sev-guest, or tdx-guest)",
                                        tree);
                return error_set(reterr, r, "cannot make an entry in '%s': %s%s", tree, strerror(-r),
                                r == -EACCES || r == -EPERM ? ": run as root" : "");
        }
        return error_set(reterr, -EEXIST, "'%s' has too many entries of cvmspawn: remove them with rmdir",
                        tree);
}

int guest_report_by_tsm(const char *tree, const uint8_t data[static GUEST_REPORT_DATA], uint32_t vmpl,
                GuestReport *ret, char **reterr) {
        _cleanup_close_ int dir = -EBADF;
        char path[4096];
        int r;

        r = make_entry(tree, path, reterr);
        if (r < 0)
                return r;
        dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = dir < 0 ? error_set(reterr, -errno, "cannot open '%s': %s", path, strerror(errno))
                    : ask(dir, data, vmpl, ret, reterr);
        /* In configfs removing the directory removes its attributes. */
        (void) rmdir(path);
        return r;
}

/* The tree's complaint is told if there is no device either. */
int guest_report_get(const char *interface, const char *tree, const char *device,
                const uint8_t data[static GUEST_REPORT_DATA], uint32_t vmpl, GuestReport *ret,
                char **reterr) {
        bool any = !interface || streq(interface, "auto");
        _cleanup_free_ char *why = NULL;
        int r;

        if (!any && streq(interface, "ioctl"))
                return guest_report_by_device(device, data, vmpl, ret, reterr);
        if (!any && !streq(interface, "tsm"))
                return error_set(reterr, -EINVAL, "--interface: expected auto, tsm or ioctl, not '%s'",
                                interface);
        r = guest_report_by_tsm(tree, data, vmpl, ret, &why);
        if (r >= 0 || r == -ENOMEM)
                return r;
        if (any && (r == -ENOENT || r == -ENXIO)) {
                r = guest_report_by_device(device, data, vmpl, ret, reterr);
                return r == -ENOENT && why ? error_prefix(reterr, r, "%s; and", why) : r;
        }
        return error_set(reterr, r, "%s", why ?: strerror(-r));
}
