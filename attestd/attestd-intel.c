/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-intel.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

DEFINE_TRIVIAL_CLEANUP_FUNC(DIR *, closedir);

int intel_each_kept(const Service *s, IntelKeptFunction f, void *userdata) {
        _cleanup_(closedirp) DIR *d = s->kds_cache && s->td_root ? opendir(s->kds_cache) : NULL;
        const TdPcs pcs = { .cache = s->kds_cache, .root = s->td_root, .now = service_now(s) };
        const struct dirent *e;
        unsigned n = 0;

        while (d && n < INTEL_KEPT_MAX && (e = readdir(d))) {
                _cleanup_(td_pcs_kept_done) TdPcsKept kept = {};
                TdPcsItem item;
                int r;

                if (td_pcs_file_parse(e->d_name, &item) < 0)
                        continue;
                n++;
                r = td_pcs_load(&pcs, e->d_name, &kept);
                if (r >= 0)
                        r = f(userdata, item.kind, e->d_name, kept.next_update);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return 0;
}
