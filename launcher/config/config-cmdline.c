/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a kernel command line says of the guest's root. */

#include <string.h>

#include "config.h"
#include "strutil.h"

/* Where root= and mount.usr= point when they say what the root hash says already. */
static bool names_verity_device(const char *value, size_t n) {
        static const char *const devices[] = { "/dev/mapper/root", "/dev/mapper/usr", "tmpfs" };

        for (size_t i = 0; i < ELEMENTSOF(devices); i++)
                if (strlen(devices[i]) == n && memcmp(devices[i], value, n) == 0)
                        return true;
        return false;
}

CmdlineRoot cmdline_root(char *const *cmdline) {
        bool hash = false, device = false, other = false;

        STRV_FOREACH(w, cmdline)
                for (const char *p = *w + strspn(*w, " \t\""), *value; *p; p += strspn(p, " \t\"")) {
                        size_t n = strcspn(p, " \t\"");

                        if ((value = startswith(p, "roothash=")) || (value = startswith(p, "usrhash=")))
                                hash = true;
                        else if ((value = startswith(p, "root=")) || (value = startswith(p, "mount.usr="))) {
                                if (names_verity_device(value, n - (size_t) (value - p)))
                                        device = true;
                                else
                                        other = true;
                        }
                        p += n;
                }
        return hash && !other                     ? CMDLINE_ROOT_VERITY
                        : hash || device || other ? CMDLINE_ROOT_UNTRUSTED
                                                  : CMDLINE_ROOT_NONE;
}
