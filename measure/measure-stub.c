/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-stub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "measure-pe.h"
#include "strutil.h"

#define MAGIC_SECTION ".sdmagic"
#define MAGIC         "#### LoaderInfo: "
#define VERSION_MAX   64u

/* Compared event by event: tests/interop/test_td_uki.py. */
static const StubKind kinds[] = {
        { .release = 257, .loads_image = true },
        { .release = 262, .strings = true, .adds_console = true },
};

static const char *const section_names[] = {
        [STUB_LINUX] = ".linux",
        [STUB_OSREL] = ".osrel",
        [STUB_CMDLINE] = ".cmdline",
        [STUB_INITRD] = ".initrd",
        [STUB_UCODE] = ".ucode",
        [STUB_SPLASH] = ".splash",
        [STUB_UNAME] = ".uname",
        [STUB_SBAT] = ".sbat",
        [STUB_PCRPKEY] = ".pcrpkey",
        [STUB_PCRSIG] = ".pcrsig",
};
static_assert(ELEMENTSOF(section_names) == _STUB_SECTION_MAX, "every section has a name");

/* Which of them counts depends on the guest's hardware or on the command line. */
static const char *const depending[] = { ".dtb", ".dtbauto", ".hwids", ".efifw", ".profile" };

const char *stub_section_to_string(StubSection s) {
        return section_names[s];
}

static int section_bytes(
                const uint8_t *image, size_t size, const PeSection *s, StubPart *ret, char **reterr) {
        if (s->offset > size || s->raw_size > size - s->offset)
                return error_set(reterr, -EBADMSG, "section %s extends beyond the end of the file", s->name);
        if (s->virtual_size == 0)
                return error_set(reterr, -EOPNOTSUPP, "section %s is empty: leave it out", s->name);
        if (s->virtual_size > s->raw_size)
                return error_set(reterr, -EOPNOTSUPP,
                                "section %s is larger in memory than in the file, which ukify does not write: what the stub measures of it is not predicted",
                                s->name);
        *ret = (StubPart) { image + s->offset, s->virtual_size };
        return 0;
}

/* "#### LoaderInfo: systemd-stub 262.1-1 ####" */
static int find_kind(const StubPart *magic, const StubKind **ret, char **reterr) {
        size_t n = strlen(MAGIC);
        char text[VERSION_MAX + 1] = {}, *version, *end;
        unsigned long release = 0;

        if (!magic->data)
                return error_set(reterr, -EOPNOTSUPP,
                                "it has a kernel in a section, but not systemd-stub (no section %s): what other stubs measure is not known",
                                MAGIC_SECTION);
        if (magic->size > n && memcmp(magic->data, MAGIC, n) == 0)
                memcpy(text, magic->data + n, MIN(magic->size - n, (size_t) VERSION_MAX));
        if ((end = strstr(text, " ####")))
                *end = 0;
        text_flatten(text, VERSION_MAX);
        version = strrchr(text, ' ');
        if (startswith(text, "systemd-stub ") && version)
                release = strtoul(version + 1, &end, 10);
        FOREACH_ARRAY(k, kinds, ELEMENTSOF(kinds))
                if (release == k->release && (*end == 0 || *end == '.' || *end == '-')) {
                        *ret = k;
                        return 0;
                }
        return error_set(reterr, -EOPNOTSUPP,
                        "what '%s' in it measures is not known: systemd-stub 257 and 262 were compared with real boots; build the image with one of these stubs ('ukify build --stub=')",
                        *text ? text : "an unnamed loader");
}

static int take_section(const uint8_t *image, size_t size, const PeSection *s, StubImage *to,
                StubPart *magic, char **reterr) {
        StubPart *part = streq(s->name, MAGIC_SECTION) ? magic : NULL;

        FOREACH_ARRAY(d, depending, ELEMENTSOF(depending))
                if (streq(s->name, *d))
                        return error_set(reterr, -EOPNOTSUPP,
                                        "section %s: what the stub makes of it depends on the guest, and is not predicted",
                                        s->name);
        for (StubSection i = 0; i < _STUB_SECTION_MAX; i++)
                if (streq(s->name, section_names[i]))
                        part = to->parts + i;
        if (!part)
                return 0;
        if (part->data)
                return error_set(reterr, -EBADMSG, "it has two sections %s", s->name);
        return section_bytes(image, size, s, part, reterr);
}

int stub_image_parse(const uint8_t *image, size_t size, StubImage *ret, char **reterr) {
        PeSection sections[PE_SECTIONS_MAX];
        StubPart magic = {};
        StubImage found = {};
        bool any = false;
        size_t n = 0;
        int r;

        if (pe_sections(image, size, sections, &n) < 0)
                return 0;
        FOREACH_ARRAY(s, sections, n)
                any = any || streq(s->name, MAGIC_SECTION) || streq(s->name, section_names[STUB_LINUX]);
        if (!any)
                return 0;
        FOREACH_ARRAY(s, sections, n) {
                r = take_section(image, size, s, &found, &magic, reterr);
                if (r < 0)
                        return r;
        }
        r = find_kind(&magic, &found.kind, reterr);
        if (r < 0)
                return r;
        if (!found.parts[STUB_LINUX].data)
                return error_set(reterr, -EOPNOTSUPP, "it is a stub without a kernel (section .linux)");
        *ret = found;
        return 1;
}

int stub_command_line(const StubPart *cmdline, char **ret, char **reterr) {
        size_t n = cmdline->size, begin = 0;
        _cleanup_free_ char *text = NULL;

        while (n > 0 && cmdline->data[n - 1] == 0)
                n--;
        for (size_t i = 0; i < n; i++)
                if (cmdline->data[i] == 0 || cmdline->data[i] >= 0x7f)
                        return error_set(reterr, -EOPNOTSUPP,
                                        "section .cmdline: byte 0x%02x at offset %zu; only ASCII characters are predicted",
                                        cmdline->data[i], i);
        /* Blanks at the ends go, and control characters become blanks. */
        while (n > 0 && cmdline->data[n - 1] <= ' ')
                n--;
        while (begin < n && cmdline->data[begin] <= ' ')
                begin++;
        text = n > begin ? strndup((const char *) cmdline->data + begin, n - begin) : strdup("");
        if (!text)
                return -ENOMEM;
        for (char *p = text; *p; p++)
                if ((uint8_t) *p < ' ')
                        *p = ' ';
        *ret = TAKE_PTR(text);
        return 0;
}
