/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Commands for TDs: registers and event log. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "guest-registers.h"
#include "guest.h"
#include "json.h"
#include "strutil.h"

static int show_registers(const GuestArguments *a, char **reterr) {
        _cleanup_js_ Json *j = a->json ? js_object() : NULL;
        _cleanup_free_ char *text = NULL;

        if (a->json && !j)
                return -ENOMEM;
        for (unsigned i = 0; i < GUEST_REGISTERS; i++) {
                uint8_t value[GUEST_REGISTER_SIZE];
                _cleanup_free_ char *hex = NULL;
                int r = guest_register_read(a->root ?: "", i, value, reterr);

                if (r < 0)
                        return r;
                hex = hex_encode(value, sizeof(value));
                if (!hex)
                        return -ENOMEM;
                if (j)
                        r = js_set(j, guest_register_name(i), js_string(hex));
                else
                        printf("%s %s\n", guest_register_name(i), hex);
                if (r < 0)
                        return r;
        }
        if (!j)
                return 0;
        text = js_text(j, a->json == OPTION_JSON_PRETTY ? JS_PRETTY : JS_SHORT);
        return text ? puts(text) < 0 ? -EIO : 0 : -ENOMEM;
}

static int extend(const GuestArguments *a, const char *index, const char *hex, char **reterr) {
        _cleanup_free_ uint8_t *digest = NULL;
        uint64_t rtmr;
        size_t n;
        int r;

        if (parse_u64_max(index, GUEST_EXTENDED_LAST, &rtmr) < 0 || rtmr < GUEST_EXTENDED_FIRST)
                return error_set(reterr, -EINVAL,
                                "rtmr extend: expected 2 or 3, not '%s': RTMR0 and RTMR1 are the firmware's",
                                index);
        r = hex_decode(hex, strlen(hex), &digest, &n);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || n != GUEST_REGISTER_SIZE)
                return error_set(reterr, -EINVAL,
                                "rtmr extend: expected a SHA-384 digest of 96 hexadecimal digits, not '%s'; sha384sum(1) computes it",
                                hex);
        return guest_register_extend(a->root ?: "", (unsigned) rtmr, digest, reterr);
}

int guest_rtmr(const GuestArguments *a, char **words, char **reterr) {
        const size_t n = strv_length(words);

        if (n == 1 && streq(words[0], "show"))
                return show_registers(a, reterr);
        if (n == 3 && streq(words[0], "extend"))
                return extend(a, words[1], words[2], reterr);
        return error_set(reterr, -EINVAL, "rtmr: expected show, or extend INDEX DIGEST");
}

int guest_ccel(const GuestArguments *a, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = guest_event_log_read(a->root ?: "", &data, &size, reterr);

        return r < 0 ? r : guest_write(a->output, data, size, 0644, reterr);
}
