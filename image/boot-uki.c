/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Unified kernel images in EFI/Linux (UAPI group, Boot Loader Specification, type 2; Unified Kernel Image; Microsoft PE/COFF
 * specification). Of several profiles the base is taken. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot-entry.h"
#include "error.h"
#include "pe-sections.h"
#include "strutil.h"

#define TEXT_MAX (64u * 1024u) /* .cmdline, .uname and .osrel, padding included */

typedef struct Sections {
        BootRange linux_, initrd, cmdline, uname, osrel;
        bool has_linux, has_initrd, has_cmdline, has_uname, has_osrel;
} Sections;

static int take_section(const PeSection *p, uint64_t file_size, Sections *s) {
        const struct {
                const char *name;
                BootRange *range;
                bool *has;
        } wanted[] = {
                { ".linux", &s->linux_, &s->has_linux },
                { ".initrd", &s->initrd, &s->has_initrd },
                { ".cmdline", &s->cmdline, &s->has_cmdline },
                { ".uname", &s->uname, &s->has_uname },
                { ".osrel", &s->osrel, &s->has_osrel },
        };

        FOREACH_ARRAY(w, wanted, ELEMENTSOF(wanted)) {
                uint64_t size = pe_section_content(p);

                if (!streq(p->name, w->name))
                        continue;
                if (*w->has || p->offset > file_size || size > file_size - p->offset)
                        return -EBADMSG;
                *w->has = true;
                *w->range = (BootRange) { p->offset, size };
        }
        return 0;
}

static int read_sections(Volume *v, const VolumeFile *f, Sections *ret, char **reterr) {
        uint8_t header[PE_HEADER_MAX];
        size_t n = (size_t) MIN(f->size, (uint64_t) sizeof(header));
        ByteReader reader = byte_reader(header, n);
        uint16_t sections;
        int r = volume_read(v, f, 0, header, n, reterr);

        if (r < 0)
                return r;
        if (pe_section_table(&reader, &sections) < 0)
                return error_set(reterr, -EBADMSG, "it is not a PE file");
        for (uint16_t i = 0; i < sections; i++) {
                PeSection p;

                if (pe_section_next(&reader, &p) < 0)
                        return error_set(reterr, -EBADMSG, "its section table is truncated");
                if (streq(p.name, ".profile"))
                        break;
                if (take_section(&p, f->size, ret) < 0)
                        return error_set(reterr, -EBADMSG,
                                        "section %s extends beyond its end, or is a duplicate", p.name);
        }
        return ret->has_linux ? 0 : error_set(reterr, -EBADMSG, "it has no section .linux");
}

static int read_text(Volume *v, const VolumeFile *f, const BootRange *range, char **ret, char **reterr) {
        size_t size = (size_t) MIN(range->size, (uint64_t) TEXT_MAX + 1);
        _cleanup_free_ char *text = NULL;
        int r;

        if (size > TEXT_MAX)
                return error_set(reterr, -E2BIG, "a section of text has more than %u bytes", TEXT_MAX);
        text = malloc(size + 1);
        if (!text)
                return -ENOMEM;
        r = volume_read(v, f, range->offset, text, size, reterr);
        if (r < 0)
                return r;
        while (size > 0 && (text[size - 1] == 0 || strchr(" \t\r\n", text[size - 1])))
                size--;
        text[size] = 0;
        if (strlen(text) < size)
                return error_set(reterr, -EBADMSG,
                                "a section of text goes on after a NUL, which some programs read and others do not");
        *ret = TAKE_PTR(text);
        return 0;
}

/* PRETTY_NAME of os-release, for the title. */
static int read_title(char *osrel, char **ret) {
        for (char *line; (line = strsep(&osrel, "\n"));) {
                const char *value = startswith(line, "PRETTY_NAME=");
                size_t n;

                if (!value)
                        continue;
                value += *value == '"';
                n = strcspn(value, "\"");
                *ret = strndup(value, n);
                return *ret ? 0 : -ENOMEM;
        }
        return 0;
}

static int read_texts(Volume *v, const VolumeFile *f, const Sections *s, BootEntry *e, char **reterr) {
        _cleanup_free_ char *osrel = NULL;
        int r = 0;

        if (s->has_cmdline)
                r = read_text(v, f, &s->cmdline, &e->words, reterr);
        if (r >= 0 && e->words)
                r = boot_words_clean(e->words);
        if (r >= 0 && s->has_uname)
                r = read_text(v, f, &s->uname, &e->version, reterr);
        if (r >= 0 && s->has_osrel)
                r = read_text(v, f, &s->osrel, &osrel, reterr);
        if (r >= 0 && osrel)
                r = read_title(osrel, &e->title);
        return r;
}

/* NAME[+LEFT[-DONE]].efi */
static int read_name(const char *name, BootEntry *e) {
        const char *plus = strrchr(name, '+');
        size_t n = strlen(name) - strlen(".efi");

        if (plus && plus[1] >= '0' && plus[1] <= '9') {
                e->bad = strtoul(plus + 1, NULL, 10) == 0;
                n = (size_t) (plus - name);
        }
        e->id = strndup(name, n);
        return e->id ? 0 : -ENOMEM;
}

static int read_image(Volume *v, const char *directory, const char *name, BootEntries *l) {
        _cleanup_(boot_entry_done) BootEntry e = { .source = BOOT_UKI };
        char *error = NULL;
        Sections s = {};
        VolumeFile f;
        int r;

        if (asprintf(&e.file, "%s/%s", directory, name) < 0) {
                e.file = NULL;
                return -ENOMEM;
        }
        r = volume_find(v, e.file, &f, &error);
        if (r >= 0)
                r = read_sections(v, &f, &s, &error);
        if (r >= 0)
                r = read_texts(v, &f, &s, &e, &error);
        if (r >= 0)
                r = read_name(name, &e);
        if (r < 0)
                return boot_entries_problem(l, e.file, r, error);
        free(error);
        e.linux_ = s.linux_;
        e.initrd = s.initrd;
        return boot_entries_add(l, &e);
}

int boot_find_uki(Volume *v, BootEntries *l, char **reterr) {
        static const char *const places[] = { "/EFI/Linux", "/boot/EFI/Linux", "/efi/EFI/Linux",
                "/boot/efi/EFI/Linux" };

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                _cleanup_strv_free_ char **names = NULL;
                int r = boot_list(v, places[i], "", ".efi", &names, reterr);

                STRV_FOREACH(name, r < 0 ? NULL : names) {
                        r = read_image(v, places[i], *name, l);
                        if (r < 0)
                                return r;
                }
                if (r < 0)
                        return r;
        }
        return 0;
}
