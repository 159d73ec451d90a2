/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A file of its own: a program without --json does not link the JSON library. */

#include <errno.h>
#include <stdio.h>

#include "error.h"
#include "strutil.h"
#include "verb.h"

int verb_set_json(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        VerbCommon *c = (VerbCommon *) ((char *) userdata + row->offset);

        if (value && !streq(value, "short") && !streq(value, "pretty") && !streq(value, "off"))
                return error_set(reterr, -EINVAL, "expected short, pretty or off, not '%s'", value);
        c->json = !streq_ptr(value, "off");
        c->style = streq_ptr(value, "pretty") ? JS_PRETTY : JS_SHORT;
        return 0;
}

int verb_print_json(const Json *j, JsStyle style) {
        _cleanup_free_ char *s = js_text(j, style);

        if (!s)
                return -ENOMEM;
        return printf("%s\n", s) < 0 ? -EIO : 0;
}
