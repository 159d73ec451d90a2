/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the parts of a command line are made with: arguments and descriptors, with one sticky error. */

#include "compose-parts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "strutil.h"

static void note(Composer *c, int r) {
        if (r < 0 && c->error == 0)
                c->error = r;
}

void compose_add(Composer *c, const char *first, ...) {
        va_list ap;

        va_start(ap, first);
        for (const char *s = first; s; s = va_arg(ap, const char *))
                note(c, strv_push(&c->argv, s));
        va_end(ap);
}

void compose_addf(Composer *c, const char *option, const char *format, ...) {
        char *s = NULL;
        va_list ap;
        int k;

        va_start(ap, format);
        k = vasprintf(&s, format, ap);
        va_end(ap);
        if (option)
                note(c, strv_push(&c->argv, option));
        note(c, strv_consume(&c->argv, k < 0 ? NULL : s));
}

void compose_json(Composer *c, const char *option, Json *value) {
        _cleanup_js_ Json *owned = value;

        if (!owned) {
                note(c, -ENOMEM);
                return;
        }
        note(c, strv_push(&c->argv, option));
        note(c, strv_consume(&c->argv, js_text(owned, JS_SHORT)));
}

void compose_fd(Composer *c, int fd) {
        int *fds = reallocarray(c->fds, c->n_fds + 1, sizeof(int));

        if (!fds) {
                note(c, -ENOMEM);
                return;
        }
        c->fds = fds;
        c->fds[c->n_fds++] = fd;
}
