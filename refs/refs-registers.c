/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refs-registers.h"

#include <errno.h>
#include <string.h>

#include "encode.h"
#include "strutil.h"

const char *const refs_register_names[REFS_REGISTERS] = { "rtmr0", "rtmr1", "rtmr2" };

const char *refs_register(const RefsLaunch *l, size_t i) {
        return js_string_value(js_get(l->registers, refs_register_names[i]));
}

int refs_registers_compare(const RefsLaunch *a, const RefsLaunch *b) {
        for (size_t i = 0; i < REFS_REGISTERS; i++) {
                const char *x = refs_register(a, i), *y = refs_register(b, i);
                int c = !x || !y ? (x != NULL) - (y != NULL) : strcmp(x, y);

                if (c != 0)
                        return c;
        }
        return 0;
}

int refs_registers_json(const RefsLaunch *old, const RefsLaunch *new, Json **ret) {
        _cleanup_js_ Json *list = js_array();
        int r = list ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < REFS_REGISTERS; i++) {
                const char *a = old ? refs_register(old, i) : NULL, *b = new ? refs_register(new, i) : NULL;
                Json *j = NULL;

                if (streq_ptr(a, b))
                        continue;
                r = js_build(&j, "{s:s, s:s?, s:s?}", "register", refs_register_names[i], "old", a, "new",
                                b);
                if (r >= 0)
                        r = js_append(list, j);
        }
        if (r >= 0)
                *ret = TAKE_PTR(list);
        return r;
}

bool refs_launch_registers(const RefsLaunch *l, TdRegisters *ret) {
        if (l->mode != COCO_TDX || l->digest_size != sizeof(ret->values[0]) || l->n_runs == 0)
                return false;
        *ret = (TdRegisters) { .has = { true }, .host_credentials = l->host_credentials };
        memcpy(ret->values[0], l->runs->digests, sizeof(ret->values[0]));
        for (size_t i = 1; i < TD_REGISTERS; i++) {
                const char *hex = js_string_value(
                                js_get(l->registers, td_field_to_string(td_register_field(i))));

                ret->has[i] = hex && hex_decode_exact(hex, ret->values[i], sizeof(ret->values[i])) >= 0;
        }
        return true;
}
