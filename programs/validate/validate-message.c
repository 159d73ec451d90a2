/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Failures with their status, and the lines that --debug and a mismatch print on standard error. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "encode.h"
#include "secret.h"
#include "strutil.h"
#include "validate.h"

int validate_fail(Validate *v, ValidateStatus status, const char *format, ...) {
        va_list ap;

        if (v->status != VALIDATE_OK)
                return -ECANCELED;
        v->status = status;
        va_start(ap, format);
        if (!format || vasprintf(&v->error, format, ap) < 0)
                v->error = NULL;
        va_end(ap);
        return -ECANCELED;
}

int validate_fail_file(Validate *v, int r, const char *path) {
        _cleanup_free_ char *shown = validate_repr(path);

        if (r == -E2BIG) /* of our own limits: strerror() speaks of an argument list */
                r = -EFBIG;
        return validate_fail(v, VALIDATE_ERROR, "[Errno %d] %s: %s", -r, strerror(-r), shown ?: path);
}

void validate_debug(const Validate *v, const char *format, ...) {
        va_list ap;

        if (!v->args.debug)
                return;
        (void) fputs("[DEBUG]: ", stderr);
        va_start(ap, format);
        (void) vfprintf(stderr, format, ap);
        va_end(ap);
        (void) fputc('\n', stderr);
}

void validate_debug_hex(const Validate *v, const char *what, const void *p, size_t n) {
        char *text = v->args.debug ? hex_encode(p, n) : NULL;

        if (text)
                validate_debug(v, "%s: %s", what, text);
        erase_string_free(text);
}

void validate_note(const Validate *v, const char *format, ...) {
        va_list ap;

        if (v->args.quiet || v->args.strict)
                return;
        (void) fputs("NOTE: ", stderr);
        va_start(ap, format);
        (void) vfprintf(stderr, format, ap);
        va_end(ap);
        (void) fputc('\n', stderr);
}
