/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refs-inputs.h"

void refs_inputs_html(Text *t, const Json *inputs) {
        static const char *const names[] = { "input", "part", "SHA-256" };

        html_table_begin(t, names, ELEMENTSOF(names));
        for (void *i = js_iter(inputs); i; i = js_iter_next(inputs, i)) {
                const Json *parts = js_get(js_iter_value(i), "parts");

                for (size_t k = 0; k < js_length(parts); k++) {
                        const Json *part = js_at(parts, k);
                        const char *const cells[] = { js_iter_key(i), js_string_value(js_get(part, "name")),
                                js_string_value(js_get(part, "sha256")) };

                        html_table_row(t, cells, ELEMENTSOF(cells));
                }
        }
        html_table_end(t);
}
