/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Kata Containers' configuration.toml and initdata. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "foreign-kata.h"
#include "kata-initdata.h"
#include "strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(kata_line_done) KataLine line = {};
        _cleanup_free_ char *text = malloc(size + 1), *error = NULL, *host_data = NULL, *refused = NULL;
        const ForeignOptions o = {};

        if (!text)
                abort();
        memcpy(text, data, size);
        text[size] = 0;
        if (kata_initdata_read(text, size, &host_data, &refused) < 0) {
                if (!refused)
                        abort();
        } else if (strlen(host_data) != 44)
                abort();
        if (kata_line_read(text, size, &o, &line, &error) < 0) {
                if (!error)
                        abort();
        } else if (strv_length(line.argv) < 17)
                abort();
        return 0;
}
