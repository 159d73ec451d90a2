/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cpio-pack.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bytes.h"
#include "cpio-archive.h"
#include "cpio-newc.h"
#include "error.h"
#include "overflow.h"

#define NEWC_SIZE_MAX UINT32_MAX

#define EXTRA_DIR       ".extra"
#define CREDENTIALS_DIR EXTRA_DIR "/system_credentials"
#define FILE_PREFIX     CREDENTIALS_DIR "/"
#define FILE_SUFFIX     ".cred"

/* A credential name has up to 255 characters (credential_name_valid()). */
#define FILE_PATH_SIZE (sizeof(FILE_PREFIX) + 255u + sizeof(FILE_SUFFIX))

static int add_member(uint64_t *total, uint64_t name_length, uint64_t size) {
        uint64_t head, body;

        if (size > NEWC_SIZE_MAX)
                return -EFBIG;
        if (!add_u64(NEWC_HEADER_SIZE + 1, name_length, &head) || !align_u64(head, NEWC_ALIGNMENT, &head) ||
                        !align_u64(size, NEWC_ALIGNMENT, &body) || !add_u64(*total, head, total) ||
                        !add_u64(*total, body, total))
                return -EFBIG;
        return 0;
}

int cpio_credentials_size(const CredentialSet *set, uint64_t *ret) {
        uint64_t total = 0;
        int r;

        if (set->n_items == 0) {
                *ret = 0;
                return 0;
        }

        if (add_member(&total, strlen(EXTRA_DIR), 0) < 0 ||
                        add_member(&total, strlen(CREDENTIALS_DIR), 0) < 0 ||
                        add_member(&total, strlen(NEWC_TRAILER), 0) < 0)
                return -EFBIG;
        FOREACH_ARRAY(c, set->items, set->n_items) {
                /* Once more, however the set was filled: a name is about to become a path. */
                if (!credential_name_valid(c->id))
                        return -EINVAL;
                r = add_member(&total, strlen(FILE_PREFIX) + strlen(c->id) + strlen(FILE_SUFFIX),
                                c->value.size);
                if (r < 0)
                        return r;
        }

        *ret = total;
        return 0;
}

typedef struct Packer {
        const ArchiveLibrary *library;
        struct archive *archive;     /* owned */
        struct archive_entry *entry; /* owned */
        ByteWriter writer;
        int64_t next_inode;
        char **reterr;
} Packer;

static void packer_done(Packer *p) {
        if (p->entry)
                p->library->archive_entry_free(p->entry);
        if (p->archive)
                (void) p->library->archive_write_free(p->archive);
}

static int packer_error(Packer *p, const char *what) {
        return error_set(p->reterr, -EIO, "libarchive cannot write %s of the credentials archive: %s", what,
                        p->library->archive_error_string(p->archive) ?: "no reason given");
}

static la_ssize_t packer_take(_unused_ struct archive *archive, void *userdata, const void *data, size_t n) {
        Packer *p = userdata;

        byte_writer_put(&p->writer, data, n);
        return p->writer.error < 0 ? -1 : (la_ssize_t) n;
}

static int packer_open(Packer *p) {
        p->archive = p->library->archive_write_new();
        p->entry = p->library->archive_entry_new();
        if (!p->archive || !p->entry)
                return -ENOMEM;

        /* No blocking: with a block size of 0 libarchive keeps no buffer of its own and passes every byte straight
         * on to packer_take(), so that it never holds a copy of a secret that somebody would have to erase. One byte
         * in the last block: no padding behind the trailer. */
        if (p->library->archive_write_set_format_cpio_newc(p->archive) != ARCHIVE_OK ||
                        p->library->archive_write_set_bytes_per_block(p->archive, 0) != ARCHIVE_OK ||
                        p->library->archive_write_set_bytes_in_last_block(p->archive, 1) != ARCHIVE_OK ||
                        p->library->archive_write_open(p->archive, p, /* opener= */ NULL, packer_take,
                                        /* closer= */ NULL) != ARCHIVE_OK)
                return packer_error(p, "the beginning");
        return 0;
}

static int packer_add(Packer *p, const char *path, mode_t mode, const SecretBuf *value) {
        const ArchiveLibrary *l = p->library;
        size_t size = value ? value->size : 0;

        (void) l->archive_entry_clear(p->entry);
        l->archive_entry_set_pathname(p->entry, path);
        l->archive_entry_set_mode(p->entry, mode);
        l->archive_entry_set_size(p->entry, (la_int64_t) size);
        l->archive_entry_set_ino(p->entry, p->next_inode++);
        l->archive_entry_set_mtime(p->entry, 0, 0);
        l->archive_entry_set_nlink(p->entry, 1);

        /* Warnings count as failures: they mean that a field did not fit. */
        if (l->archive_write_header(p->archive, p->entry) != ARCHIVE_OK)
                return packer_error(p, path);
        if (size > 0 && l->archive_write_data(p->archive, value->data, size) != (la_ssize_t) size)
                return packer_error(p, path);
        return 0;
}

static int packer_run(Packer *p, const CredentialSet *set, size_t size) {
        int r = packer_open(p);

        if (r < 0)
                return r;
        r = packer_add(p, EXTRA_DIR, S_IFDIR | 0555, NULL);
        if (r < 0)
                return r;
        r = packer_add(p, CREDENTIALS_DIR, S_IFDIR | 0500, NULL);
        if (r < 0)
                return r;
        FOREACH_ARRAY(c, set->items, set->n_items) {
                char path[FILE_PATH_SIZE];
                int n = snprintf(path, sizeof(path), FILE_PREFIX "%s" FILE_SUFFIX, c->id);

                if (n < 0 || (size_t) n >= sizeof(path))
                        return -ENAMETOOLONG;
                r = packer_add(p, path, S_IFREG | 0400, &c->value);
                if (r < 0)
                        return r;
        }
        if (p->library->archive_write_close(p->archive) != ARCHIVE_OK)
                return packer_error(p, "the trailer");

        r = byte_writer_finish(&p->writer, size);
        if (r < 0)
                return error_set(p->reterr, -EIO,
                                "libarchive wrote %zu bytes of credentials archive instead of %zu",
                                p->writer.pos, size);
        return 0;
}

int cpio_credentials_write(const CredentialSet *set, void *buf, size_t size, char **reterr) {
        _cleanup_(packer_done) Packer p = {
                .writer = byte_writer(buf, size),
                .next_inode = 1,
                .reterr = reterr,
        };
        uint64_t planned;
        int r;

        r = cpio_credentials_size(set, &planned);
        if (r < 0)
                return error_set(reterr, r, "the credentials do not fit a cpio archive: %s", strerror(-r));
        if (planned != size)
                return error_set(reterr, -EINVAL, "the credentials archive has %ju bytes, not %zu",
                                (uintmax_t) planned, size);
        if (size == 0)
                return 0;

        r = archive_library_get(&p.library, reterr);
        if (r < 0)
                return r;
        return packer_run(&p, set, size);
}
