/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For the files of this room only: libarchive's functions as the loaded library gives them. */

#include <archive.h>
#include <archive_entry.h>

#include "macro.h"

#define ARCHIVE_LIBRARY_FUNCTIONS(X)                                                                        \
        X(archive_entry_filetype)                                                                           \
        X(archive_entry_hardlink)                                                                           \
        X(archive_entry_pathname)                                                                           \
        X(archive_entry_size)                                                                               \
        X(archive_entry_symlink)                                                                            \
        X(archive_error_string)                                                                             \
        X(archive_filter_bytes)                                                                             \
        X(archive_filter_count)                                                                             \
        X(archive_read_data_block)                                                                          \
        X(archive_read_free)                                                                                \
        X(archive_read_new)                                                                                 \
        X(archive_read_next_header)                                                                         \
        X(archive_read_open)                                                                                \
        X(archive_read_open2)                                                                               \
        X(archive_read_support_filter_bzip2)                                                                \
        X(archive_read_support_filter_gzip)                                                                 \
        X(archive_read_support_filter_lz4)                                                                  \
        X(archive_read_support_filter_lzma)                                                                 \
        X(archive_read_support_filter_xz)                                                                   \
        X(archive_read_support_filter_zstd)                                                                 \
        X(archive_read_support_format_empty)                                                                \
        X(archive_read_support_format_raw)                                                                  \
        X(archive_read_support_format_tar)

/* One pointer a function, under the function's own name: library->archive_read_new(). */
typedef struct ArchiveLibrary {
#define ARCHIVE_LIBRARY_POINTER(name) typeof(name) *name;
        ARCHIVE_LIBRARY_FUNCTIONS(ARCHIVE_LIBRARY_POINTER)
#undef ARCHIVE_LIBRARY_POINTER
} ArchiveLibrary;

/* Loads the library and hands the functions out; valid until cpio_library_unload(). */
_warn_unused_result_ int archive_library_get(const ArchiveLibrary **ret, char **reterr);
