/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which firmware descriptor a launch takes, and what to do where none fits. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "firmware-descriptor.h"
#include "sev-firmware.h"
#include "strutil.h"

static bool has_target(const FirmwareDescriptor *d, const FirmwareQuery *q) {
        FOREACH_ARRAY(t, d->targets, d->n_targets) {
                if (!streq(t->architecture, q->architecture))
                        continue;
                STRV_FOREACH(m, t->machines)
                        if (strstr(*m, q->machine))
                                return true;
        }
        return false;
}

int firmware_descriptor_match(const FirmwareDescriptor *d, const FirmwareQuery *q, char **reterr) {
        bool stateless = d->mapping == FIRMWARE_MEMORY || streq_ptr(d->mode, "stateless");

        if (d->problem)
                return error_set(reterr, -EOPNOTSUPP, "%s", d->problem);
        if (!strv_contains(d->interfaces, "uefi"))
                return error_set(reterr, -EOPNOTSUPP, "is not a UEFI firmware");
        if (q->stateless && !stateless)
                return error_set(reterr, -EOPNOTSUPP, "keeps variables (split or combined flash)");
        if (q->nvram_template && !d->nvram_template)
                return error_set(reterr, -EOPNOTSUPP, "has no template for the variable store");
        if (q->raw && !streq(d->executable_format, "raw"))
                return error_set(reterr, -EOPNOTSUPP, "has the format %s, not raw", d->executable_format);
        if (!has_target(d, q))
                return error_set(reterr, -EOPNOTSUPP, "is not for %s, %s", q->architecture, q->machine);
        STRV_FOREACH(f, q->include)
                if (!strv_contains(d->features, *f))
                        return error_set(reterr, -EOPNOTSUPP, "lacks the feature %s", *f);
        STRV_FOREACH(f, q->exclude)
                if (strv_contains(d->features, *f) && !strv_contains(q->include, *f))
                        return error_set(reterr, -EOPNOTSUPP, "has the feature %s", *f);
        return 0;
}

int firmware_fetched(char *(*lookup)(const char *name), char **ret) {
        const struct {
                const char *directory, *below;
        } places[] = {
                { lookup("CVMSPAWN_CACHE"), "" },
                { "/var/cache", "/cvmspawn" },
                { lookup("XDG_CACHE_HOME"), "/cvmspawn" },
                { lookup("HOME"), "/.cache/cvmspawn" },
        };

        FOREACH_ARRAY(p, places, ELEMENTSOF(places)) {
                _cleanup_free_ char *path = NULL;

                if (!p->directory || *p->directory != '/')
                        continue;
                if (asprintf(&path, "%s%s/firmware/OVMF.amdsev.fd", p->directory, p->below) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                if (access(path, R_OK) == 0) {
                        *ret = TAKE_PTR(path);
                        return 0;
                }
        }
        return -ENOENT;
}

static int no_match(const FirmwareList *l, const FirmwareQuery *q, char **reterr) {
        _cleanup_free_ char *why = NULL, *fetched = NULL;
        bool sev = false, tdx = false;
        int r;

        r = l->n_items == 0
                        ? asprintf(&why, "no firmware descriptor found")
                        : asprintf(&why, "none of %zu firmware descriptors fits (--firmware=list shows them)",
                                          l->n_items);
        if (r < 0) {
                why = NULL;
                return -ENOMEM;
        }
        STRV_FOREACH(f, q->include)
                sev = sev || startswith(*f, "amd-sev"), tdx = tdx || startswith(*f, "intel-tdx");
        if (!sev)
                return error_set(reterr, -ENOENT,
                                "%s: install %s, or name a file with --firmware= (measure --from-...: --ovmf=)",
                                why, tdx ? "ovmf-inteltdx" : "ovmf");
        if (firmware_fetched(getenv, &fetched) >= 0)
                return error_set(reterr, -ENOENT,
                                "%s; tools/fetch-artifacts has fetched an image for SEV: use --firmware=%s",
                                why, fetched);
        return error_set(reterr, -ENOENT, "%s: " GET_FIRMWARE, why);
}

int firmware_choose(const FirmwareList *l, const FirmwareQuery *q, const FirmwareDescriptor **ret,
                char **reterr) {
        FOREACH_ARRAY(d, l->items, l->n_items) {
                if (firmware_descriptor_match(d, q, /* reterr= */ NULL) >= 0) {
                        *ret = d;
                        return 0;
                }
        }
        return no_match(l, q, reterr);
}
