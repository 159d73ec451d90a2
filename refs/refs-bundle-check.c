/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What all objects of a bundle have in common. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "refs-bundle-internal.h"
#include "strutil.h"

int refs_check_hex(const Json *j, const char *member, size_t n, char **reterr) {
        const char *s = js_string_value(js_get(j, member));

        if (!s || strlen(s) != 2 * n || strspn(s, "0123456789abcdef") != 2 * n)
                return error_set(reterr, -EINVAL, "'%s': expected %zu lower-case hex digits", member, 2 * n);
        return 0;
}

int refs_check_members(const Json *j, const char *const *known, size_t n_known, char **reterr) {
        if (!js_is_object(j))
                return error_set(reterr, -EINVAL, "expected an object");
        for (void *i = js_iter(j); i; i = js_iter_next(j, i)) {
                bool found = false;

                for (size_t k = 0; k < n_known; k++)
                        found = found || streq(js_iter_key(i), known[k]);
                if (!found)
                        return error_set(reterr, -EINVAL, "unknown member '%s'", js_iter_key(i));
        }
        return 0;
}
