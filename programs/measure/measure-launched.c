/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a launch on the simulated host loaded, beside the pages of which the computed digest consists: the first difference between them.
 * The record is described in cvmspawn-sevsim(1). */

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto-hash.h"
#include "error.h"
#include "fd.h"
#include "json.h"
#include "measure-cli.h"
#include "strutil.h"

#define COMMANDS_SIZE_MAX ((size_t) 64 << 20)
#define PAGES_SIZE_MAX    ((size_t) 1 << 30)

/* One command of the record that enters the digest. */
typedef struct Loaded {
        char type[16]; /* of a page; "" where all are alike: SEV and SEV-ES */
        uint64_t gpa, size, offset;
        bool has_bytes;
} Loaded;

typedef struct Comparison {
        Loaded *loaded; /* owned */
        size_t n_loaded, at;
        uint64_t within; /* of loaded[at]: what was compared already */
        char *bytes;     /* owned: all that was handed over */
        size_t size;
        char *difference; /* owned; NULL: none so far */
} Comparison;

static void comparison_done(Comparison *c) {
        free(c->loaded);
        free(c->bytes);
        free(c->difference);
}

static int read_line(const char *text, Loaded *ret) {
        _cleanup_js_ Json *line = NULL;
        const char *command, *gpa, *type;
        Loaded l = {};
        int r = js_parse(text, strlen(text), &line, NULL);

        if (r < 0)
                return r;
        command = js_string_value(js_get(line, "command"));
        if (!command || !strstr(command, "LAUNCH_UPDATE") || js_get(line, "refused"))
                return 0;
        gpa = js_string_value(js_get(line, "gpa"));
        if (gpa && parse_u64(gpa, &l.gpa) < 0)
                return -EBADMSG;
        if (js_u64_value(js_get(line, "length"), &l.size) < 0 || l.size == 0)
                return -EBADMSG;
        type = js_string_value(js_get(line, "page_type"));
        for (size_t i = 0; type && type[i] && i + 1 < sizeof(l.type); i++)
                l.type[i] = (char) tolower((unsigned char) type[i]);
        l.has_bytes = js_u64_value(js_get(line, "pages_offset"), &l.offset) >= 0;
        *ret = l;
        return 1;
}

static int read_record(const char *folder, Comparison *c) {
        _cleanup_free_ char *commands = NULL, *pages = NULL, *text = NULL;
        _cleanup_strv_free_ char **lines = NULL;
        size_t size;
        int r;

        if (asprintf(&commands, "%s/commands.jsonl", folder) < 0 ||
                        asprintf(&pages, "%s/pages.bin", folder) < 0)
                return -ENOMEM;
        r = file_read_all(commands, COMMANDS_SIZE_MAX, &text, &size);
        if (r >= 0)
                r = file_read_all(pages, PAGES_SIZE_MAX, &c->bytes, &c->size);
        if (r >= 0)
                r = strv_split(text, '\n', &lines);
        if (r < 0)
                return r;
        c->loaded = calloc(strv_length(lines) + 1, sizeof(Loaded));
        if (!c->loaded)
                return -ENOMEM;
        STRV_FOREACH(line, lines) {
                r = **line ? read_line(*line, &c->loaded[c->n_loaded]) : 0;
                if (r < 0)
                        return r;
                c->n_loaded += (size_t) r;
        }
        return 0;
}

static int say(Comparison *c, const LaunchStep *s, const char *what) {
        return asprintf(&c->difference, "page %" PRIu64 " (%s, %s, address 0x%" PRIx64 "): %s", s->index,
                               s->source, s->type, s->gpa, what) < 0
                        ? -ENOMEM
                        : 0;
}

static int same_contents(const Comparison *c, const LaunchStep *s, const Loaded *l, bool *ret) {
        uint8_t digest[SHA384_SIZE];
        uint64_t begin = l->offset + c->within;
        int r;

        /* Of other pages the secure processor measures that they are there, and not their contents. */
        *ret = !l->has_bytes || (l->type[0] && !streq(l->type, "normal") && !streq(l->type, "vmsa"));
        if (*ret)
                return 0;
        if (begin > c->size || s->size > c->size - begin)
                return -EBADMSG;
        r = hash_digest(s->n_digest == SHA384_SIZE ? HASH_SHA384 : HASH_SHA256, c->bytes + begin, s->size,
                        digest);
        *ret = r >= 0 && memcmp(digest, s->contents, s->n_digest) == 0;
        return r;
}

/* A LaunchTrace. */
static int compare_step(void *userdata, const LaunchStep *s) {
        Comparison *c = userdata;
        const Loaded *l = c->loaded + c->at;
        char other[96];
        bool same;
        int r;

        if (c->difference)
                return 0;
        if (c->at == c->n_loaded)
                return say(c, s, "QEMU did not load it");
        if (l->type[0] && (!streq(l->type, s->type) || l->gpa + c->within != s->gpa)) {
                (void) snprintf(other, sizeof(other), "QEMU loaded %s, address 0x%" PRIx64, l->type,
                                l->gpa + c->within);
                return say(c, s, other);
        }
        if (s->size > l->size - c->within) {
                (void) snprintf(other, sizeof(other), "QEMU loaded %" PRIu64 " bytes, not %" PRIu64,
                                l->size - c->within, s->size);
                return say(c, s, other);
        }
        r = same_contents(c, s, l, &same);
        if (r < 0 || !same)
                return r < 0 ? r : say(c, s, "QEMU loaded other contents");
        c->within += s->size;
        if (c->within == l->size) {
                c->at++;
                c->within = 0;
        }
        return 0;
}

int launched_difference(const char *folder, const MeasureContext *context, const LaunchSpec *spec,
                char **ret, char **reterr) {
        _cleanup_(comparison_done) Comparison c = {};
        LaunchDigest digest;
        int r = read_record(folder, &c);

        if (r < 0)
                return error_set(reterr, r, "cannot read the record of the launch: %s", strerror(-r));
        r = measure_context_digest(context, spec, compare_step, &c, &digest, reterr);
        if (r < 0)
                return r;
        if (!c.difference && c.at < c.n_loaded &&
                        asprintf(&c.difference, "QEMU loaded more: %s, address 0x%" PRIx64,
                                        c.loaded[c.at].type[0] ? c.loaded[c.at].type : "data",
                                        c.loaded[c.at].gpa + c.within) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(c.difference);
        return 0;
}
