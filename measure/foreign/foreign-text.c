/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-text.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "input.h"
#include "strutil.h"

int foreign_read_text(const char *option, const char *path, size_t max, char **ret, size_t *ret_size,
                char **reterr) {
        int r;

        if (!streq(path, "-"))
                return input_read(option, path, max, ret, ret_size, reterr);
        r = fd_read_all(STDIN_FILENO, max, ret, ret_size);
        if (r < 0)
                return error_set(reterr, r, "--%s: cannot read standard input: %s", option, strerror(-r));
        return 0;
}
