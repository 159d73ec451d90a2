/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "date.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "error.h"
#include "strutil.h"

int parse_date(const char *text, int64_t *ret, char **reterr) {
        static const struct {
                const char *format;
                size_t length; /* strptime() takes "2026-1-1", and blanks in front */
        } formats[] = { { "%Y-%m-%d", 10 }, { "%Y-%m-%dT%H:%M:%SZ", 20 }, { "%Y-%m-%d %H:%M:%S", 19 } };
        uint64_t seconds;

        if (!text) {
                *ret = (int64_t) time(NULL);
                return 0;
        }
        if (text[0] == '@' && parse_u64_max(text + 1, INT64_MAX, &seconds) == 0) {
                *ret = (int64_t) seconds;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
                struct tm tm = {};
                const char *end = strptime(text, formats[i].format, &tm);
                int day = tm.tm_mday;
                int64_t seconds_then;

                if (!end || *end || strlen(text) != formats[i].length)
                        continue;
                seconds_then = (int64_t) timegm(&tm);
                if (tm.tm_mday != day)
                        break; /* the 30th of February, which timegm() has moved into March */
                *ret = seconds_then;
                return 0;
        }
        return error_set(reterr, -EINVAL,
                        "expected 2026-01-31, 2026-01-31T12:00:00Z (UTC) or @SECONDS, not '%s'", text);
}

DateText date_text(int64_t seconds) {
        time_t t = (time_t) seconds;
        struct tm tm;
        DateText d;

        if (!gmtime_r(&t, &tm) || strftime(d.text, sizeof(d.text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                d = (DateText) { "?" };
        return d;
}
