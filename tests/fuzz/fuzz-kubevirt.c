/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* KubeVirt's VirtualMachineInstance. */

#include <stdint.h>
#include <stdlib.h>

#include "foreign-kubevirt.h"
#include "strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const ForeignOptions o = {
                .given = { .firmware = "fw.fd", .kernel = "kernel", .initrd = "initrd" }
        };
        _cleanup_(kubevirt_line_done) KubevirtLine line = {};
        _cleanup_free_ char *bad_text = NULL, *error = NULL;
        _cleanup_js_ Json *j = NULL;

        if (js_parse((const char *) data, size, &j, &bad_text) < 0)
                return 0;
        if (kubevirt_line_read(j, &o, &line, &error) < 0) {
                if (!error)
                        abort();
        } else if (strv_length(line.argv) < 13)
                abort();
        return 0;
}
