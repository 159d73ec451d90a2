/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "resolve-uki.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "fd.h"
#include "resolve-parts.h"
#include "strutil.h"

#define HEADER_MAX   4096u /* PE headers and section tables of real images end before 2 KiB */
#define SECTIONS_MAX 96u   /* the PE format's own limit */
#define SECTION_SIZE 40u

void uki_done(Uki *u) {
        u->fd = fd_close(u->fd);
        free(u->dropped);
        *u = UKI_NONE;
}

/* Moves to the section table: 0 with the number of sections, -ENODATA if this is not a PE file. */
static int find_sections(ByteReader *r, uint16_t *ret) {
        const uint8_t *p;
        uint16_t optional;
        uint32_t pe;

        if (byte_reader_take(r, 2, &p) < 0 || memcmp(p, "MZ", 2) != 0)
                return -ENODATA;
        if (byte_reader_seek(r, 0x3c) < 0 || byte_reader_le32(r, &pe) < 0 || byte_reader_seek(r, pe) < 0 ||
                        byte_reader_take(r, 4, &p) < 0 || memcmp(p, "PE\0\0", 4) != 0)
                return -ENODATA;
        /* COFF header: machine, number of sections, 12 bytes, size of the optional header, characteristics */
        if (byte_reader_skip(r, 2) < 0 || byte_reader_le16(r, ret) < 0 || byte_reader_skip(r, 12) < 0 ||
                        byte_reader_le16(r, &optional) < 0 || byte_reader_skip(r, 2 + (size_t) optional) < 0)
                return -ENODATA;
        return *ret > SECTIONS_MAX ? -ENODATA : 0;
}

static bool named(const uint8_t *section, const char *name) {
        char wanted[8] = {};

        memcpy(wanted, name, MIN(strlen(name), sizeof(wanted)));
        return memcmp(section, wanted, sizeof(wanted)) == 0;
}

/* VirtualSize at 8, SizeOfRawData at 16, PointerToRawData at 20: the content has VirtualSize bytes, the rest is padding. */
static int take_range(const char *path, const char *name, const uint8_t *section, uint64_t file_size,
                UkiRange *ret, char **reterr) {
        uint64_t size = le32_read(section + 8), raw = le32_read(section + 16),
                 offset = le32_read(section + 20);

        if (ret->present)
                return error_set(reterr, -EBADMSG, "--linux: '%s' has two sections %s", path, name);
        size = MIN(size, raw);
        if (offset > file_size || size > file_size - offset)
                return error_set(reterr, -EBADMSG,
                                "--linux: section %s of '%s' extends beyond the end of the file", name,
                                path);
        *ret = (UkiRange) { .present = true, .offset = offset, .size = size };
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
                const uint8_t *p;
                int k;

                if (byte_reader_take(r, SECTION_SIZE, &p) < 0)
                        return error_set(reterr, -EBADMSG, "--linux: the section table of '%s' is truncated",
                                        path);
                if (named(p, ".profile")) {
                        /* What follows replaces the base sections in other profiles: the base is what is booted. */
                        text_putf(&dropped, "%s.profile", dropped.size > 0 ? ", " : "");
                        break;
                }
                osrel = osrel || named(p, ".osrel");
                for (size_t w = 0; w < ELEMENTSOF(wanted); w++)
                        if (named(p, wanted[w].name)) {
                                k = take_range(path, wanted[w].name, p, file_size, wanted[w].range, reterr);
                                if (k < 0)
                                        return k;
                        }
                for (size_t l = 0; l < ELEMENTSOF(lost); l++)
                        if (named(p, lost[l]))
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
        uint8_t header[HEADER_MAX];
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
        if (find_sections(&reader, &n) >= 0) {
                r = read_sections(path, &reader, n, size, &u, reterr);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_STRUCT(u, UKI_NONE);
        return 0;
}
