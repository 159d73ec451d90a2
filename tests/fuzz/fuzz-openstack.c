/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* OpenStack's image, flavor and server, as an array of three. */

#include <stdint.h>
#include <stdlib.h>

#include "foreign-openstack.h"
#include "strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const ForeignOptions o = {
                .given = { .firmware = "fw.fd", .kernel = "kernel", .initrd = "initrd" }
        };
        _cleanup_(openstack_line_done) OpenstackLine line = {};
        _cleanup_free_ char *bad_text = NULL, *error = NULL;
        _cleanup_js_ Json *j = NULL;
        OpenstackInput in;

        if (js_parse((const char *) data, size, &j, &bad_text) < 0)
                return 0;
        in = (OpenstackInput) { js_at(j, 0), js_at(j, 1), js_at(j, 2) };
        if (openstack_line_read(&in, &o, &line, &error) < 0) {
                if (!error)
                        abort();
        } else if (strv_length(line.argv) < 11)
                abort();
        return 0;
}
