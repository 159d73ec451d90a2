/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "validate.h"

int validate_load_domain(Validate *v) {
        return validate_fail(v, VALIDATE_UNSUPPORTED,
                        "--domain is not there yet: give everything on the command line");
}

int validate_inject(Validate *v) {
        return validate_fail(v, VALIDATE_ERROR, NULL);
}

ValidateDomain *validate_domain_free(_unused_ ValidateDomain *d) {
        return NULL;
}
