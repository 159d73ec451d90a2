/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --copy-out=: files of the guest for the host. */

#include <stdlib.h>
#include <string.h>

#include "config-handlers.h"
#include "error.h"
#include "strutil.h"

static void copy_out_done(CopyOut *copy) {
        free(copy->path);
        free(copy->file);
}

/* The guest reads the paths a line each. What the kernel makes up when it is read has no size. */
static int check_path(const char *path, char **reterr) {
        static const char *const kernel[] = { "/proc/", "/sys/", "/dev/" };
        size_t n = strlen(path);

        if (*path != '/' || path[n - 1] == '/')
                return error_set(reterr, -EINVAL, "'%s' is not the absolute path of a file in the guest",
                                path);
        for (const char *p = path; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 127)
                        return error_set(reterr, -EINVAL,
                                        "a path in the guest must not have control characters");
        FOREACH_ARRAY(k, kernel, ELEMENTSOF(kernel))
                if (startswith(path, *k))
                        return error_set(reterr, -EINVAL,
                                        "'%s' is not a regular file; let the command of --run= copy it to /tmp first",
                                        path);
        return 0;
}

static int add(VmConfig *c, CopyOut *copy, char **reterr) {
        CopyOut *grown;

        FOREACH_ARRAY(k, c->copies, c->n_copies)
                if (streq(k->file, copy->file))
                        return error_set(reterr, -EINVAL, "'%s' is given twice: copy to different files",
                                        copy->file);
        if (c->n_copies >= COPY_OUT_MAX)
                return error_set(reterr, -E2BIG, "at most %u files are supported", COPY_OUT_MAX);
        grown = reallocarray(c->copies, c->n_copies + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        c->copies = grown;
        c->copies[c->n_copies++] = TAKE_STRUCT(*copy, (CopyOut) {});
        return 0;
}

int config_handle_copy_out(void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        _cleanup_(copy_out_done) CopyOut copy = {};
        const char *p = value;
        int r = config_take_field(&p, &copy.path);

        if (r >= 0 && *p == ':') {
                p++;
                r = config_take_field(&p, &copy.file);
        }
        if (r < 0)
                return r;
        if (*p || !*copy.path || !copy.file || !*copy.file)
                return error_set(reterr, -EINVAL,
                                "expected PATH:FILE, not '%s'; write '\\:' for a colon in a path", value);
        r = check_path(copy.path, reterr);
        return r < 0 ? r : add(userdata, &copy, reterr);
}

int vm_config_copy_list(const VmConfig *c, char **ret) {
        _cleanup_(text_done) Text t = {};

        FOREACH_ARRAY(k, c->copies, c->n_copies)
                text_putf(&t, "%s\n", k->path);
        return text_finish(&t, ret);
}
