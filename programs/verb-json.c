/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Its own file: a program without --json does not link the JSON library. */

#include <errno.h>
#include <stdio.h>

#include "verb.h"

int verb_set_json(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        VerbCommon *c = (VerbCommon *) ((char *) userdata + row->offset);

        OptionJson j;
        int r = option_parse_json(value, &j, reterr);

        if (r < 0)
                return r;
        c->json = j != OPTION_JSON_OFF;
        c->style = j == OPTION_JSON_PRETTY ? JS_PRETTY : JS_SHORT;
        return 0;
}

int verb_print_json(const Json *j, JsStyle style) {
        _cleanup_free_ char *s = js_text(j, style);

        if (!s)
                return -ENOMEM;
        return printf("%s\n", s) < 0 ? -EIO : 0;
}
