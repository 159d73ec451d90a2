/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tar-reader.h"

#include <sys/stat.h>

#include "cpio-archive.h"
#include "error.h"

#define ZEROS_SIZE (64u * 1024u)

struct TarReader {
        const ArchiveLibrary *library;
        struct archive *archive; /* owned */
        TarSource source;
        int source_error; /* which libarchive would hide */
        bool stream;
        bool ended;
        /* A block that lies behind a hole of a sparse file. */
        const uint8_t *block;
        size_t block_size;
        uint64_t block_offset, position;
};

static const uint8_t zeros[ZEROS_SIZE];

int tar_prepare(char **reterr) {
        const ArchiveLibrary *library;

        return archive_library_get(&library, reterr);
}

TarReader *tar_free(TarReader *t) {
        if (!t)
                return NULL;
        if (t->archive)
                (void) t->library->archive_read_free(t->archive);
        free(t);
        return NULL;
}

static la_ssize_t give(_unused_ struct archive *archive, void *userdata, const void **ret) {
        TarReader *t = userdata;
        const uint8_t *p = NULL;
        size_t n = 0;
        int r = t->source.read(t->source.userdata, &p, &n);

        if (r < 0) {
                t->source_error = r;
                return -1;
        }
        *ret = p;
        return (la_ssize_t) n;
}

static la_int64_t skip(_unused_ struct archive *archive, void *userdata, la_int64_t size) {
        TarReader *t = userdata;
        int64_t n = t->source.skip ? t->source.skip(t->source.userdata, size) : 0;

        return MAX(n, INT64_C(0)); /* what cannot be skipped is read */
}

static int damaged(const TarReader *t, char **reterr) {
        const char *why = t->library->archive_error_string(t->archive);

        if (t->source_error < 0)
                return t->source_error;
        return error_set(reterr, -EBADMSG, "%s: %s",
                        t->stream ? "the compressed data is damaged" : "the tar archive is damaged",
                        why ?: "no reason given");
}

static int add_filters(const TarReader *t, char **reterr) {
        /* A warning means that libarchive would start an external program, which is out of the question. */
        if (t->library->archive_read_support_filter_gzip(t->archive) != ARCHIVE_OK ||
                        t->library->archive_read_support_filter_zstd(t->archive) != ARCHIVE_OK)
                return error_set(reterr, -EOPNOTSUPP, "this libarchive cannot read gzip and zstd");
        return 0;
}

static int open_any(const TarSource *source, bool stream, TarReader **ret, char **reterr) {
        _cleanup_tar_ TarReader *t = calloc(1, sizeof(TarReader));
        int r;

        if (!t)
                return -ENOMEM;
        *t = (TarReader) { .source = *source, .stream = stream };
        r = archive_library_get(&t->library, reterr);
        if (r < 0)
                return r;
        t->archive = t->library->archive_read_new();
        if (!t->archive)
                return -ENOMEM;
        r = stream || source->compressed ? add_filters(t, reterr) : 0;
        if (r < 0)
                return r;
        if (stream)
                r = t->library->archive_read_support_format_raw(t->archive);
        else
                r = t->library->archive_read_support_format_tar(t->archive);
        if (r != ARCHIVE_OK || t->library->archive_read_support_format_empty(t->archive) != ARCHIVE_OK ||
                        t->library->archive_read_open2(t->archive, t, /* opener= */ NULL, give, skip,
                                        /* closer= */ NULL) != ARCHIVE_OK)
                return damaged(t, reterr);
        *ret = TAKE_PTR(t);
        return 0;
}

int tar_open(const TarSource *source, TarReader **ret, char **reterr) {
        return open_any(source, /* stream= */ false, ret, reterr);
}

static void forget_block(TarReader *t) {
        t->block = NULL;
        t->block_size = 0;
        t->block_offset = t->position = 0;
}

int tar_next(TarReader *t, TarEntry *ret, char **reterr) {
        const ArchiveLibrary *l = t->library;
        struct archive_entry *e;
        const char *hard;
        int r = l->archive_read_next_header(t->archive, &e);

        forget_block(t);
        if (r == ARCHIVE_EOF)
                return 0;
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
                return damaged(t, reterr);
        hard = l->archive_entry_hardlink(e);
        *ret = (TarEntry) {
                .name = l->archive_entry_pathname(e),
                .target = hard ?: l->archive_entry_symlink(e),
                .size = (uint64_t) MAX(l->archive_entry_size(e), INT64_C(0)),
        };
        ret->type = hard                                        ? TAR_HARDLINK
                        : S_ISREG(l->archive_entry_filetype(e)) ? TAR_FILE
                        : S_ISDIR(l->archive_entry_filetype(e)) ? TAR_FOLDER
                        : S_ISLNK(l->archive_entry_filetype(e)) ? TAR_SYMLINK
                                                                : TAR_OTHER;
        return 1;
}

int tar_read(TarReader *t, const uint8_t **ret, size_t *ret_size, char **reterr) {
        *ret_size = 0;
        while (!t->ended && t->block_size == 0) {
                const void *p;
                la_int64_t offset;
                int r = t->library->archive_read_data_block(t->archive, &p, &t->block_size, &offset);

                if (r == ARCHIVE_EOF)
                        return 0;
                if (r != ARCHIVE_OK)
                        return damaged(t, reterr);
                t->block = p;
                t->block_offset = (uint64_t) offset;
                if (t->block_offset < t->position)
                        return error_set(reterr, -EBADMSG, "the parts of a sparse file overlap");
        }
        if (t->block_offset > t->position) {
                *ret = zeros;
                *ret_size = (size_t) MIN(t->block_offset - t->position, (uint64_t) ZEROS_SIZE);
        } else {
                *ret = t->block;
                *ret_size = t->block_size;
                t->block_offset += t->block_size;
                t->block_size = 0;
        }
        t->position += *ret_size;
        return 0;
}

int tar_open_stream(const TarSource *source, TarReader **ret, char **reterr) {
        _cleanup_tar_ TarReader *t = NULL;
        struct archive_entry *e;
        int r = open_any(source, /* stream= */ true, &t, reterr);

        if (r < 0)
                return r;
        r = t->library->archive_read_next_header(t->archive, &e);
        if (r != ARCHIVE_OK && r != ARCHIVE_EOF)
                return damaged(t, reterr);
        /* The source, and at most one filter. */
        if (t->library->archive_filter_count(t->archive) > 2)
                return error_set(reterr, -EBADMSG, "the data is compressed twice");
        t->ended = r == ARCHIVE_EOF;
        *ret = TAKE_PTR(t);
        return 0;
}
