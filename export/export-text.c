/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "export-text.h"

#include <errno.h>

#include "error.h"

/* The length of the UTF-8 sequence at s (RFC 3629, section 4), or 0. */
static size_t sequence(const unsigned char *s) {
        size_t n = s[0] < 0x80                        ? 1
                        : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                        : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                        : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                                      : 0;

        for (size_t i = 1; i < n; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
                        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
                return 0;
        return n;
}

int export_check_text(const char *what, const char *text, char **reterr) {
        const unsigned char *s = (const unsigned char *) (text ?: "");

        while (*s) {
                size_t n = sequence(s);

                if (n == 0)
                        return error_set(reterr, -EINVAL, "%s is not valid UTF-8, and cannot be exported",
                                        what);
                if ((*s < 0x20 && *s != '\t' && *s != '\n') || *s == 0x7f)
                        return error_set(reterr, -EINVAL,
                                        "%s contains the control character 0x%02x, and cannot be exported",
                                        what, *s);
                s += n;
        }
        return 0;
}

int export_check_texts(const ExportGuest *g, char **reterr) {
        const struct {
                const char *what, *text;
        } texts[] = {
                { "the name of the machine", g->name },
                { "the path of the firmware", g->firmware },
                { "the path of the kernel", g->kernel },
                { "the path of the initrd", g->initrd },
                { "the kernel command line", g->cmdline },
                { "the CPU model", g->cpu_model },
                { "the path of the quote socket", g->quote_socket },
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(texts); i++)
                r = export_check_text(texts[i].what, texts[i].text, reterr);
        for (size_t i = 0; r >= 0 && i < g->n_disks; i++)
                r = export_check_text("the path of a disk", g->disks[i].path, reterr);
        return r;
}

void export_put_xml(Text *t, const char *text) {
        for (const char *s = text ?: ""; *s; s++)
                if (*s == '\n' || *s == '\t')
                        text_putf(t, "&#%d;", *s);
                else
                        text_put_escaped(t, *s);
}

void export_put_shell(Text *t, const char *text) {
        static const char plain[] =
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=,./:+%@";

        if (*text && strspn(text, plain) == strlen(text)) {
                text_put(t, text);
                return;
        }
        text_put(t, "'");
        for (const char *s = text; *s; s++)
                if (*s == '\'')
                        text_put(t, "'\\''");
                else
                        text_put_n(t, s, 1);
        text_put(t, "'");
}
