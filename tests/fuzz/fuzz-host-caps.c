/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a host can do, as check-host writes it and a user may: what was read is written and read again to the same text. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "launch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *text_of(const HostCaps *caps) {
        _cleanup_js_ Json *j = NULL;

        return host_caps_to_json(caps, &j) < 0 ? NULL : js_text(j, JS_SHORT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(host_caps_done) HostCaps caps = {}, again = {};
        _cleanup_free_ char *error = NULL, *one = NULL, *two = NULL;
        _cleanup_js_ Json *j = NULL, *k = NULL;

        if (js_parse((const char *) data, size, &j, NULL) < 0)
                return 0;
        if (host_caps_from_json(j, &caps, &error) < 0) {
                assert(error);
                return 0;
        }
        one = text_of(&caps);
        if (!one) /* a number that JSON has no room for */
                return 0;
        assert(js_parse(one, strlen(one), &k, NULL) >= 0);
        assert(host_caps_from_json(k, &again, NULL) >= 0);
        two = text_of(&again);
        assert(two && strcmp(one, two) == 0);
        return 0;
}
