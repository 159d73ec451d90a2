/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Quotes of TDs in files. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "evidence-form.h"
#include "fd.h"
#include "report.h"
#include "strutil.h"
#include "td-quote.h"

static int read_file(const char *path, char **ret, size_t *ret_size) {
        _cleanup_free_ char *blob = NULL;
        struct stat st;

        if (streq(path, "-"))
                return report_stdin_read(TD_QUOTE_SIZE_MAX, ret, ret_size);
        if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
                return file_read_all(path, TD_QUOTE_SIZE_MAX, ret, ret_size);
        /* As in configfs-tsm. */
        return asprintf(&blob, "%s/outblob", path) < 0
                        ? -ENOMEM
                        : file_read_all(blob, TD_QUOTE_SIZE_MAX, ret, ret_size);
}

int report_input_check(const char *path, char **reterr) {
        _cleanup_free_ char *data = NULL;
        struct stat st;
        size_t size = 0;
        int r;

        /* A pipe is not waited for once more. */
        if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
                return 0;
        r = read_file(path, &data, &size);
        if (r == -ENOMEM)
                return r;
        if (r == -ENOENT)
                return error_set(reterr, r, "cannot read '%s%s': %s", path,
                                stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? "/outblob" : "", strerror(-r));
        if (r == 0 && size == 0)
                return error_set(reterr, -EINVAL,
                                "'%s': not a SEV-SNP report or a TDX quote: it looks like an empty file",
                                path);
        return 0; /* other failures are named by the technology that reads it */
}

int report_quote_read(const char *path, char **ret, size_t *ret_size) {
        _cleanup_free_ char *data = NULL;
        size_t size;

        if (read_file(path, &data, &size) < 0)
                return 0;
        for (unsigned i = 0; i < EVIDENCE_LAYERS_MAX && !td_quote_is((const uint8_t *) data, size); i++) {
                _cleanup_free_ char *note = NULL;
                uint8_t *decoded;
                int r = evidence_decode(data, size, &decoded, &size, &note);

                if (r <= 0)
                        return r;
                free(data);
                data = (char *) decoded;
        }
        if (!td_quote_is((const uint8_t *) data, size))
                return 0;
        *ret = TAKE_PTR(data);
        *ret_size = size;
        return 1;
}
