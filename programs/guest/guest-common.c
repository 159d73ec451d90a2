/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What cvmspawn-guest's own commands and its snpguest commands share. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "atomic-file.h"
#include "error.h"
#include "fd.h"
#include "guest.h"
#include "strutil.h"

int guest_parse_vmpl(const char *s, uint32_t *ret, char **reterr) {
        uint64_t v;

        if (!s) {
                *ret = GUEST_VMPL_ANY;
                return 0;
        }
        if (parse_u64_max(s, 3, &v) < 0)
                return error_set(reterr, -EINVAL, "--vmpl: expected 0, 1, 2 or 3, not '%s'", s);
        *ret = (uint32_t) v;
        return 0;
}

int guest_write(const char *path, const void *p, size_t n, mode_t mode, char **reterr) {
        int r = path ? file_write_atomic(path, p, n, mode, ATOMIC_FILE_REPLACE | ATOMIC_FILE_EXACT_MODE)
                     : fd_write_all(STDOUT_FILENO, p, n);

        return r < 0 ? error_set(reterr, r, "cannot write '%s': %s", path ?: "standard output", strerror(-r))
                     : 0;
}

int guest_get_report(const GuestArguments *a, const uint8_t data[static GUEST_REPORT_DATA], uint32_t vmpl,
                GuestReport *ret, char **reterr) {
        return guest_report_get(a->interface, a->tsm ?: GUEST_TSM, a->device ?: GUEST_DEVICE, data, vmpl,
                        ret, reterr);
}
