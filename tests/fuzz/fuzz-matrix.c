/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file of run-matrix, as YAML and as JSON. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "matrix-file.h"
#include "matrix-layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        for (int yaml = 0; yaml < 2; yaml++) {
                _cleanup_(matrix_done) Matrix m = {};
                _cleanup_free_ char *text = malloc(size + 1), *error = NULL;
                int r;

                if (!text)
                        abort();
                memcpy(text, data, size);
                text[size] = 0;
                r = matrix_parse(text, size, yaml == 1, &m, &error);
                if (r < 0 && r != -ENOMEM && !error)
                        abort();
                if (r >= 0 && m.n_guests == 0)
                        abort();
                for (size_t i = 0; i < m.n_guests; i++)
                        if (!layer_name_valid(m.guests[i].name))
                                abort();
        }
        return 0;
}
