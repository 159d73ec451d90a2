/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libvirt's domain XML. Without libxml2 there is nothing to read. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "foreign-domain.h"
#include "strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(foreign_domain_done) ForeignDomain d = {};
        _cleanup_free_ char *text = strndup((const char *) data, size), *error = NULL;

        if (!text)
                abort();
        if (foreign_domain_read(text, NULL, &d, &error) < 0) {
                if (!error)
                        abort();
        } else if (strv_length(d.argv) < 2)
                abort();
        return 0;
}
