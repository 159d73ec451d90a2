/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "resolve-uki.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "pe-sections.h"
#include "resolve-parts.h"
#include "strutil.h"

void uki_done(Uki *u) {
        u->fd = fd_close(u->fd);
        free(u->dropped);
        *u = UKI_NONE;
}

static int take_range(const char *path, const PeSection *section, uint64_t file_size, UkiRange *ret,
                char **reterr) {
        uint64_t size = pe_section_content(section);
        const char *name = section->name;

        if (ret->present)
                return error_set(reterr, -EBADMSG, "--linux: '%s' has two sections %s", path, name);
        if (section->offset > file_size || size > file_size - section->offset)
                return error_set(reterr, -EBADMSG,
                                "--linux: section %s of '%s' extends beyond the end of the file", name,
                                path);
        *ret = (UkiRange) { .present = true, .offset = section->offset, .size = size };
        return 0;
}

static int read_sections(
                const char *path, ByteReader *r, uint16_t n, uint64_t file_size, Uki *u, char **reterr) {
        static const char *const lost[] = { ".dtb", ".dtbauto", ".hwids", ".ucode", ".pcrsig", ".pcrpkey",
                ".splash", ".efifw" };
        const struct {
                const char *name;
                UkiRange *range;
        } wanted[] = {
                { ".linux", &u->linux_ },
                { ".initrd", &u->initrd },
                { ".cmdline", &u->cmdline },
        };
        _cleanup_(text_done) Text dropped = {};
        bool osrel = false;

        for (uint16_t i = 0; i < n; i++) {
                PeSection p;
                int k;

                if (pe_section_next(r, &p) < 0)
                        return error_set(reterr, -EBADMSG, "--linux: the section table of '%s' is truncated",
                                        path);
                if (streq(p.name, ".profile")) {
                        /* What follows replaces the base sections in other profiles: the base is what is booted. */
                        text_putf(&dropped, "%s.profile", dropped.size > 0 ? ", " : "");
                        break;
                }
                osrel = osrel || streq(p.name, ".osrel");
                for (size_t w = 0; w < ELEMENTSOF(wanted); w++)
                        if (streq(p.name, wanted[w].name)) {
                                k = take_range(path, &p, file_size, wanted[w].range, reterr);
                                if (k < 0)
                                        return k;
                        }
                for (size_t l = 0; l < ELEMENTSOF(lost); l++)
                        if (streq(p.name, lost[l]))
                                text_putf(&dropped, "%s%s", dropped.size > 0 ? ", " : "", lost[l]);
        }

        u->found = osrel && u->linux_.present;
        u->no_osrel = !osrel && u->linux_.present;
        if (!u->found || dropped.size == 0)
                return 0;
        return text_finish(&dropped, &u->dropped);
}

int uki_open(const char *path, Uki *ret, char **reterr) {
        _cleanup_(uki_done) Uki u = UKI_NONE;
        uint8_t header[PE_HEADER_MAX];
        ByteReader reader;
        uint64_t size;
        uint16_t n;
        int r;

        u.fd = resolve_open("linux", path, &size, reterr);
        if (u.fd < 0)
                return u.fd;
        r = fd_pread_exact(u.fd, header, MIN(size, (uint64_t) sizeof(header)), 0);
        if (r < 0)
                return error_set(reterr, r, "--linux: cannot read '%s': %s", path, strerror(-r));

        reader = byte_reader(header, MIN(size, (uint64_t) sizeof(header)));
        if (pe_section_table(&reader, &n) >= 0) {
                r = read_sections(path, &reader, n, size, &u, reterr);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_STRUCT(u, UKI_NONE);
        return 0;
}
