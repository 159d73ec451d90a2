/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "input.h"
#include "strutil.h"

#define CONFIG_SIZE_MAX (1024u * 1024u)
/* As QEMU (util/qemu-config.c) reads lines, without the line end, and names in them. */
#define LINE_SIZE_MAX 1022u
#define NAME_SIZE_MAX 63u
#define BLANKS        " \t\r\v\f"

typedef struct Section {
        char *group, *id; /* owned; id may be NULL */
        Pairs items;
} Section;

typedef struct Reader {
        ConfigSection section;
        void *userdata;
        Section current;
} Reader;

static void section_done(Section *s) {
        free(s->group);
        free(s->id);
        pairs_done(&s->items);
        *s = (Section) {};
}

static int finish(Reader *c, char **reterr) {
        Section *s = &c->current;
        int r = s->group ? c->section(c->userdata, s->group, s->id, &s->items, reterr) : 0;

        if (r < 0)
                (void) error_prefix(reterr, r, "[%s%s%s]", s->group, s->id ? " " : "", s->id ?: "");
        section_done(s);
        return r < 0 ? r : 0;
}

/* The text between two quotes, or NULL. */
static char *quoted(const char *s) {
        const char *begin = strchr(s, '"'), *end = begin ? strchr(begin + 1, '"') : NULL;

        return end ? strndup(begin + 1, (size_t) (end - begin) - 1) : NULL;
}

/* [GROUP], or [GROUP "ID"]. */
static int begin_section(const char *line, Section *s) {
        size_t n = strcspn(line + 1, BLANKS);
        const char *id = line + 1 + n + strspn(line + 1 + n, BLANKS);

        if (*id == '"') {
                s->id = quoted(id);
                if (!s->id || !*s->id || strlen(s->id) > NAME_SIZE_MAX)
                        return -EINVAL;
        } else
                n = strcspn(line + 1, "]");
        if (n == 0 || n > NAME_SIZE_MAX || !strchr(line, ']'))
                return -EINVAL;
        s->group = strndup(line + 1, n);
        return s->group ? 0 : -ENOMEM;
}

/* NAME = "VALUE": the name ends at a blank. */
static int add_item(const char *line, Section *s) {
        _cleanup_free_ char *key = NULL, *value = NULL;
        size_t n;

        line += strspn(line, BLANKS);
        n = strcspn(line, BLANKS);
        if (n == 0 || n > NAME_SIZE_MAX || !s->group)
                return -EINVAL;
        key = strndup(line, n);
        if (!key)
                return -ENOMEM;
        line += n + strspn(line + n, BLANKS);
        if (*line != '=')
                return -EINVAL;
        line += 1 + strspn(line + 1, BLANKS);
        value = *line == '"' ? quoted(line) : NULL;
        return value ? pairs_set(&s->items, key, value) : -EINVAL;
}

static int read_line(Reader *c, const char *line, char **reterr) {
        if (strlen(line) > LINE_SIZE_MAX)
                return -EINVAL;
        if (!*line || line[0] == '#')
                return 0;
        if (line[0] == '[') {
                int r = finish(c, reterr);

                return r < 0 ? r : begin_section(line, &c->current);
        }
        return add_item(line, &c->current);
}

int foreign_config_read(const char *path, ConfigSection section, void *userdata, char **reterr) {
        Reader c = { .section = section, .userdata = userdata };
        _cleanup_strv_free_ char **lines = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size, number = 0;
        int r;

        r = input_read(NULL, path, CONFIG_SIZE_MAX, &text, &size, reterr);
        if (r < 0)
                return r;
        if (memchr(text, 0, size))
                return error_set(reterr, -EINVAL, "'%s' contains a NUL: it is not a configuration file",
                                path);
        r = strv_split(text, '\n', &lines);
        STRV_FOREACH(line, lines) {
                if (r < 0)
                        break;
                number++;
                r = read_line(&c, *line, reterr);
                if (r == -EINVAL)
                        r = error_set(reterr, r,
                                        "line %zu of '%s' is neither [GROUP \"ID\"] nor NAME = \"VALUE\" as QEMU reads it (blanks around =, at most %u bytes)",
                                        number, path, LINE_SIZE_MAX);
        }
        if (r >= 0)
                r = finish(&c, reterr);
        section_done(&c.current);
        return r;
}
