/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An instance of Incus. */

#include <stdint.h>
#include <stdlib.h>

#include "foreign-incus.h"
#include "strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const ForeignOptions o = { .given = { .firmware = "fw.fd", .cpu = "--vcpu-sig=1" } };
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *bad_text = NULL, *error = NULL;
        _cleanup_js_ Json *j = NULL;

        if (js_parse((const char *) data, size, &j, &bad_text) < 0)
                return 0;
        if (incus_line_read(j, &o, &argv, &error) < 0) {
                if (!error)
                        abort();
        } else if (strv_length(argv) != 13)
                abort();
        return 0;
}
