/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "qmp-message.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "secret.h"
#include "strutil.h"

#define LINES_STEP   ((size_t) 64 * 1024) /* first allocation; then doubling */
#define EXCERPT_SIZE 60                   /* of a foreign line, shown in an error message */

void qmp_lines_done(QmpLines *l) {
        if (l->data)
                erase_memory(l->data, l->allocated); /* answers may carry secrets */
        free(l->data);
        *l = (QmpLines) {};
}

/* Moves what was not handed out to the front. */
static void lines_compact(QmpLines *l) {
        if (l->start == 0)
                return;
        memmove(l->data, l->data + l->start, l->size - l->start);
        l->size -= l->start;
        l->scanned -= l->start;
        l->start = 0;
}

int qmp_lines_reserve(QmpLines *l, size_t n, char **ret) {
        size_t want;
        char *p;

        assert(n <= QMP_LINE_MAX);

        lines_compact(l);
        if (l->size > QMP_LINE_MAX)
                return -EMSGSIZE;

        if (l->allocated - l->size < n) {
                want = MAX(LINES_STEP, l->allocated * 2);
                want = MAX(want, l->size + n);
                p = malloc(want);
                if (!p)
                        return -ENOMEM;
                if (l->data) {
                        memcpy(p, l->data, l->size);
                        erase_memory(l->data, l->allocated);
                        free(l->data);
                }
                l->data = p;
                l->allocated = want;
        }
        *ret = l->data + l->size;
        return 0;
}

void qmp_lines_commit(QmpLines *l, size_t n) {
        assert(n <= l->allocated - l->size);
        l->size += n;
}

int qmp_lines_next(QmpLines *l, const char **ret, size_t *ret_size) {
        const char *newline;
        size_t n;

        if (l->scanned == l->size)
                return 0;
        newline = memchr(l->data + l->scanned, '\n', l->size - l->scanned);
        if (!newline) {
                l->scanned = l->size;
                return 0;
        }

        *ret = l->data + l->start;
        n = (size_t) (newline - *ret);
        l->start = l->scanned = l->start + n + 1;
        if (n > 0 && (*ret)[n - 1] == '\r')
                n--;
        *ret_size = n;
        return 1;
}

size_t qmp_lines_pending(const QmpLines *l) {
        return l->size - l->start;
}

void qmp_message_done(QmpMessage *m) {
        js_unref(m->json);
        *m = (QmpMessage) {};
}

int qmp_version_parse(const Json *version, QmpVersion *ret, char **reterr) {
        static const JsField fields[] = {
                { "major", JS_FIELD_UNSIGNED, offsetof(QmpVersion, major), true, NULL },
                { "minor", JS_FIELD_UNSIGNED, offsetof(QmpVersion, minor), true, NULL },
                { "micro", JS_FIELD_UNSIGNED, offsetof(QmpVersion, micro), true, NULL },
        };
        QmpVersion v = {};
        int r;

        r = js_dispatch(js_get(version, "qemu"), fields, ELEMENTSOF(fields), /* foreign= */ true, &v,
                        reterr);
        if (r < 0)
                return error_prefix(reterr, r, "QEMU's version");
        *ret = v;
        return 0;
}

static int parse_greeting(QmpMessage *m, char **reterr) {
        const Json *version = js_get(js_get(m->json, "QMP"), "version");
        int r = qmp_version_parse(version, &m->version, reterr);

        if (r < 0)
                return error_prefix(reterr, -EBADMSG, "QMP greeting");
        m->type = QMP_MESSAGE_GREETING;
        return 0;
}

static int parse_event(QmpMessage *m, char **reterr) {
        m->type = QMP_MESSAGE_EVENT;
        m->name = js_string_value(js_get(m->json, "event"));
        m->value = js_get(m->json, "data");
        if (!m->name || (m->value && !js_is_object(m->value)))
                return error_set(reterr, -EBADMSG,
                                "QMP event without a name, or with data that is not an object");
        return 0;
}

static int parse_id(QmpMessage *m, char **reterr) {
        const Json *id = js_get(m->json, "id");

        if (!id)
                return 0;
        if (js_u64_value(id, &m->id) < 0 || m->id == 0)
                return error_set(reterr, -EBADMSG, "QMP answer with an unknown id");
        return 0;
}

static int parse_answer(QmpMessage *m, char **reterr) {
        const Json *error = js_get(m->json, "error");

        m->value = js_get(m->json, "return");
        if ((m->value && error) || (!m->value && !error))
                return error_set(reterr, -EBADMSG,
                                "QMP message that is neither greeting, event, return nor error");
        m->type = error ? QMP_MESSAGE_ERROR : QMP_MESSAGE_RETURN;
        if (error) {
                m->name = js_string_value(js_get(error, "class"));
                m->desc = js_string_value(js_get(error, "desc"));
                if (!m->name || !m->desc)
                        return error_set(reterr, -EBADMSG, "QMP error without class or desc");
        }
        return parse_id(m, reterr);
}

/* The beginning of a line that is not QMP, with everything unprintable as '?'. */
static int refuse_line(const char *line, size_t size, char *why, char **reterr) {
        _cleanup_free_ char *reason = why;
        char excerpt[EXCERPT_SIZE + 1];
        size_t n = MIN(size, sizeof(excerpt) - 1);

        for (size_t i = 0; i < n; i++)
                excerpt[i] = line[i] >= ' ' && line[i] <= '~' ? line[i] : '?';
        excerpt[n] = 0;
        return error_set(reterr, -EBADMSG, "not a QMP message, \"%s%s\": %s", excerpt, size > n ? "..." : "",
                        reason ?: "out of memory");
}

int qmp_message_parse(const char *line, size_t size, QmpMessage *ret, char **reterr) {
        _cleanup_(qmp_message_done) QmpMessage m = {};
        char *why = NULL;
        int r;

        r = js_parse(line, size, &m.json, &why);
        if (r < 0)
                return refuse_line(line, size, why, reterr);

        if (!js_is_object(m.json))
                r = error_set(&why, -EBADMSG, "not a JSON object");
        else if (js_get(m.json, "QMP"))
                r = parse_greeting(&m, &why);
        else if (js_get(m.json, "event"))
                r = parse_event(&m, &why);
        else
                r = parse_answer(&m, &why);
        if (r < 0)
                return refuse_line(line, size, why, reterr);

        *ret = m;
        m = (QmpMessage) {};
        return 0;
}
