/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Commands that wait for their answers, and how a command is written. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qmp-client-internal.h"
#include "secret.h"

void qmp_pending_push(QmpClient *c, QmpPending *p) {
        if (!c->pending_tail)
                c->pending_tail = &c->pending;
        *c->pending_tail = p;
        c->pending_tail = &p->next;
        c->n_pending++;
}

QmpPending *qmp_pending_take(QmpClient *c, uint64_t id) {
        for (QmpPending **p = &c->pending; *p; p = &(*p)->next) {
                QmpPending *found = *p;

                if (id != 0 && found->id != id)
                        continue;
                *p = found->next;
                if (c->pending_tail == &found->next)
                        c->pending_tail = p;
                c->n_pending--;
                return found;
        }
        return NULL;
}

int qmp_pending_answer(QmpClient *c, QmpPending *p, int error, const Json *value, const char *error_desc) {
        _cleanup_free_ QmpPending *owned = p;

        return owned->reply ? owned->reply(c, error, value, error_desc, owned->userdata) : 0;
}

int qmp_format_command(const char *command, Json *arguments, uint64_t id, char **ret, size_t *ret_size) {
        _cleanup_js_ Json *args = arguments, *j = js_object();
        char *text, *p;
        size_t n;
        int r;

        r = js_set(j, "execute", js_string(command));
        if (r >= 0 && args)
                r = js_set(j, "arguments", TAKE_PTR(args));
        if (r >= 0)
                r = js_set(j, "id", js_u64(id));
        if (r < 0)
                return r;

        text = js_text(j, JS_SHORT);
        if (!text)
                return -ENOMEM;
        n = strlen(text);
        p = n > QMP_LINE_MAX ? NULL : malloc(n + 3);
        if (p)
                memcpy(mempcpy(p, text, n), "\r\n", 3);
        erase_string_free(text);
        if (!p)
                return n > QMP_LINE_MAX ? -EMSGSIZE : -ENOMEM;
        *ret = p;
        *ret_size = n + 2;
        return 0;
}
