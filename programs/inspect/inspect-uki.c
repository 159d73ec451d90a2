/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The sections of a unified kernel image, and which of them systemd-stub measures into PCR 11 (UAPI group, Unified Kernel Image;
 * systemd-stub(7), systemd-measure(1); systemd: src/fundamental/uki.h). */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "inspect.h"
#include "pe-sections.h"
#include "strutil.h"

/* In the order of measuring, each by its name and its content. .pcrsig is not here: it signs the result. */
static const struct {
        const char *name;
        bool depends; /* on the machine or on the chosen profile, as all that follows .profile */
} measured[] = {
        { ".linux", false },
        { ".osrel", false },
        { ".cmdline", false },
        { ".initrd", false },
        { ".ucode", false },
        { ".splash", false },
        { ".dtb", false },
        { ".uname", false },
        { ".sbat", false },
        { ".pcrpkey", false },
        { ".profile", true },
        { ".dtbauto", true },
        { ".hwids", true },
        { ".efifw", true },
};

typedef struct UkiImage {
        int fd; /* borrowed */
        uint64_t size;
        PeSection sections[PE_SECTIONS_MAX];
        uint8_t digests[PE_SECTIONS_MAX][SHA256_SIZE];
        uint16_t n;
} UkiImage;

static const PeSection *find(const UkiImage *u, const char *name, size_t from) {
        for (size_t i = from; i < u->n; i++)
                if (streq(u->sections[i].name, name))
                        return u->sections + i;
        return NULL;
}

static int read_table(UkiImage *u, char **reterr) {
        uint8_t head[PE_HEADER_MAX];
        size_t n = (size_t) MIN(u->size, (uint64_t) sizeof(head));
        ByteReader reader = byte_reader(head, n);
        uint16_t sections;
        int r = fd_pread_exact(u->fd, head, n, 0);

        if (r < 0)
                return error_set(reterr, r, "%s", strerror(-r));
        if (pe_section_table(&reader, &sections) < 0)
                return error_set(reterr, -EBADMSG, "it is not a PE file");
        for (u->n = 0; u->n < sections; u->n++) {
                PeSection *s = u->sections + u->n;

                if (pe_section_next(&reader, s) < 0)
                        return error_set(reterr, -EBADMSG, "its section table is truncated");
                for (char *c = s->name; *c; c++)
                        *c = *c > ' ' && *c < 0x7f ? *c : '?';
                if (s->offset > u->size || pe_section_content(s) > u->size - s->offset)
                        return error_set(reterr, -EBADMSG, "section %s extends beyond its end", s->name);
        }
        return find(u, ".linux", 0)
                        ? 0
                        : error_set(reterr, -EBADMSG,
                                          "it is a PE file without a section .linux, so it is not a unified kernel image");
}

/* Of two base sections with one name, one is measured, and programs differ in which one they take. */
static int check_measured(const UkiImage *u, char **reterr) {
        const PeSection *profile = find(u, ".profile", 0), *end = profile ?: u->sections + u->n;

        FOREACH_ARRAY(m, measured, ELEMENTSOF(measured)) {
                const PeSection *s = find(u, m->name, 0);

                if (!s || s >= end || m->depends)
                        continue;
                if (s->memory > s->stored)
                        return error_set(reterr, -EBADMSG,
                                        "section %s has %llu bytes in memory and %llu in the file", s->name,
                                        (unsigned long long) s->memory, (unsigned long long) s->stored);
                s = find(u, m->name, (size_t) (s - u->sections) + 1);
                if (s && s < end)
                        return error_set(reterr, -EBADMSG, "it has two sections %s", s->name);
        }
        return 0;
}

static Json *is_measured(const UkiImage *u, size_t i) {
        const PeSection *profile = find(u, ".profile", 0);

        FOREACH_ARRAY(m, measured, ELEMENTSOF(measured))
                if (streq(m->name, u->sections[i].name))
                        return m->depends || (profile && u->sections + i >= profile) ? js_null()
                                                                                     : js_bool(true);
        return js_bool(false);
}

static int add_sections(const UkiImage *u, Json *j) {
        Json *list = js_array();
        int r = list ? 0 : -ENOMEM;

        for (size_t i = 0; i < u->n && r >= 0; i++) {
                const PeSection *s = u->sections + i;
                _cleanup_free_ char *hex = hex_encode(u->digests[i], SHA256_SIZE);
                Json *item = NULL;

                r = hex ? 0 : -ENOMEM;
                if (r >= 0)
                        r = js_build(&item, "{s:s, s:I, s:I, s:o, s:s}", "name", s->name, "offset",
                                        (long long) s->offset, "size", (long long) pe_section_content(s),
                                        "measured", is_measured(u, i), "sha256", hex);
                if (r >= 0)
                        r = js_append(list, item);
        }
        if (r < 0) {
                js_unref(list);
                return r;
        }
        return js_set(j, "sections", list);
}

static int extend(uint8_t pcr[static SHA256_SIZE], const uint8_t digest[static SHA256_SIZE]) {
        uint8_t both[2 * SHA256_SIZE];

        memcpy(both, pcr, SHA256_SIZE);
        memcpy(both + SHA256_SIZE, digest, SHA256_SIZE);
        return hash_digest(HASH_SHA256, both, sizeof(both), pcr);
}

/* What PCR 11 has when the kernel starts; null if that depends on more than the image. */
static int add_pcr(const UkiImage *u, Json *j) {
        uint8_t pcr[SHA256_SIZE] = {}, name[SHA256_SIZE];
        _cleanup_free_ char *hex = NULL;
        int r = 0;

        FOREACH_ARRAY(m, measured, ELEMENTSOF(measured)) {
                const PeSection *s = find(u, m->name, 0);

                if (s && m->depends)
                        return js_set(j, "pcr-11-sha256", js_null());
                if (!s)
                        continue;
                r = hash_digest(HASH_SHA256, m->name, strlen(m->name) + 1, name);
                if (r >= 0)
                        r = extend(pcr, name);
                if (r >= 0)
                        r = extend(pcr, u->digests[s - u->sections]);
                if (r < 0)
                        return r;
        }
        hex = hex_encode(pcr, sizeof(pcr));
        return hex ? js_set(j, "pcr-11-sha256", js_string(hex)) : -ENOMEM;
}

int inspect_uki(const char *path, Json *j, char **reterr) {
        _cleanup_close_ int fd = -EBADF;
        UkiImage u = {};
        int r;

        fd = fd_open_regular(path, &u.size);
        if (fd < 0)
                return error_set(reterr, fd, "cannot open '%s': %s", path, strerror(-fd));
        u.fd = fd;
        r = read_table(&u, reterr);
        if (r >= 0)
                r = check_measured(&u, reterr);
        for (size_t i = 0; i < u.n && r >= 0; i++) {
                r = hash_file_range(HASH_SHA256, fd, u.sections[i].offset,
                                pe_section_content(u.sections + i), u.digests[i]);
                if (r < 0)
                        r = error_set(reterr, r, "cannot read it: %s", strerror(-r));
        }
        if (r < 0)
                return error_prefix(reterr, r, "%s", path);
        r = js_set(j, "size", js_u64(u.size));
        if (r >= 0)
                r = add_sections(&u, j);
        return r < 0 ? r : add_pcr(&u, j);
}
