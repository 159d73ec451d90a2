/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(char **reterr, int r, const char *format, ...) {
        va_list ap;

        assert(r < 0);

        if (!reterr || *reterr)
                return r;

        va_start(ap, format);
        int k = vasprintf(reterr, format, ap);
        va_end(ap);
        if (k < 0)
                *reterr = NULL; /* out of memory: the errno alone has to do */

        return r;
}

int error_prefix(char **reterr, int r, const char *format, ...) {
        _cleanup_free_ char *prefix = NULL;
        char *joined = NULL;
        va_list ap;

        if (!reterr || !*reterr)
                return r;

        va_start(ap, format);
        int k = vasprintf(&prefix, format, ap);
        va_end(ap);
        if (k < 0) {
                prefix = NULL;
                return r;
        }

        if (asprintf(&joined, "%s: %s", prefix, *reterr) < 0)
                return r;

        free(*reterr);
        *reterr = joined;
        return r;
}

int sentence_append(char **sentence, const char *more) {
        char *both = NULL;

        if (!more)
                return 0;
        if (asprintf(&both, "%s%s%s", *sentence ?: "", *sentence ? "; " : "", more) < 0)
                return -ENOMEM;
        free(*sentence);
        *sentence = both;
        return 0;
}
