/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The extract program looks into the image, in a child that can do nothing else. */

#include <errno.h>

#include "error.h"
#include "extract-child.h"
#include "inspect.h"
#include "log.h"
#include "strutil.h"

int inspect_image(const char *path, bool all, Json *j, char **reterr) {
        static const char *const shown[] = { "format", "size", "table", "kernel", "initrd", "cmdline",
                "notes" };
        _cleanup_strv_free_ char **problems = NULL;
        _cleanup_(extract_child_done) ExtractChild c = EXTRACT_CHILD_NONE;
        int r = extract_child(path, /* format= */ NULL, /* backing= */ NULL, &c, reterr);

        for (void *i = r < 0 ? NULL : js_iter(c.finding); i && r >= 0; i = js_iter_next(c.finding, i)) {
                const char *key = js_iter_key(i);
                bool wanted = all;

                for (size_t k = 0; k < ELEMENTSOF(shown); k++)
                        wanted = wanted || streq(key, shown[k]);
                if (wanted)
                        r = js_set(j, key, js_ref((Json *) js_iter_value(i)));
        }
        if (r >= 0)
                r = extract_kernel_problems(js_get(c.finding, "kernel"), &problems);
        STRV_FOREACH(p, r < 0 ? NULL : problems)
                log_warning("%s", *p);
        return r;
}
