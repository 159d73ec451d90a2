/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cpio-library.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <string.h>

#include "cpio-archive.h"
#include "error.h"
#include "initrd-codec.h"

typedef struct FunctionRow {
        const char *name;
        size_t offset; /* of the pointer in the library's structure */
} FunctionRow;

#define ARCHIVE_ROW(name) { #name, offsetof(ArchiveLibrary, name) },
#define ZLIB_ROW(name)    { #name, offsetof(ZlibLibrary, name) },
#define BZIP2_ROW(name)   { #name, offsetof(Bzip2Library, name) },
#define LZO_ROW(name)     { #name, offsetof(LzoLibrary, name) },
#define ZSTD_ROW(name)    { #name, offsetof(ZstdLibrary, name) },

static const FunctionRow archive_functions[] = { ARCHIVE_LIBRARY_FUNCTIONS(ARCHIVE_ROW) };
static const FunctionRow zlib_functions[] = { ZLIB_LIBRARY_FUNCTIONS(ZLIB_ROW) };
static const FunctionRow bzip2_functions[] = { BZIP2_LIBRARY_FUNCTIONS(BZIP2_ROW) };
static const FunctionRow lzo_functions[] = { LZO_LIBRARY_FUNCTIONS(LZO_ROW) };
static const FunctionRow zstd_functions[] = { ZSTD_LIBRARY_FUNCTIONS(ZSTD_ROW) };

typedef enum Library {
        LIBRARY_ARCHIVE,
        LIBRARY_ZLIB,
        LIBRARY_BZIP2,
        LIBRARY_LZO,
        LIBRARY_ZSTD,
        _LIBRARY_MAX,
} Library;

static const struct {
        const char *soname, *purpose, *remedy;
        const FunctionRow *functions;
        size_t n_functions, size;
} libraries[] = {
#define LIBRARY_ROW(rows, type) .functions = rows, .n_functions = ELEMENTSOF(rows), .size = sizeof(type)
        [LIBRARY_ARCHIVE] = { "libarchive.so.13", "reads initrds and archives",
                        "install the Debian package libarchive13 (libarchive13t64 since Debian 13)",
                        LIBRARY_ROW(archive_functions, ArchiveLibrary) },
        [LIBRARY_ZLIB] = { "libz.so.1", "reads gzip initrds", "install the Debian package zlib1g",
                        LIBRARY_ROW(zlib_functions, ZlibLibrary) },
        [LIBRARY_BZIP2] = { "libbz2.so.1.0", "reads bzip2 initrds", "install the Debian package libbz2-1.0",
                        LIBRARY_ROW(bzip2_functions, Bzip2Library) },
        [LIBRARY_LZO] = { "liblzo2.so.2", "reads lzo initrds",
                        "install the Debian package liblzo2-2, or compress the initrd with zstd, xz or gzip",
                        LIBRARY_ROW(lzo_functions, LzoLibrary) },
        [LIBRARY_ZSTD] = { "libzstd.so.1", "reads zstd-compressed qcow2 images",
                        "install the Debian package libzstd1", LIBRARY_ROW(zstd_functions, ZstdLibrary) },
#undef LIBRARY_ROW
};
static_assert(ELEMENTSOF(libraries) == _LIBRARY_MAX, "one row per library");

/* dlopen() counts per process as well, so this state is the process's by nature. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void *handles[_LIBRARY_MAX];
static ArchiveLibrary archive;
static ZlibLibrary zlib;
static Bzip2Library bzip2;
static LzoLibrary lzo;
static ZstdLibrary zstd;

static void *const functions[] = {
        [LIBRARY_ARCHIVE] = &archive,
        [LIBRARY_ZLIB] = &zlib,
        [LIBRARY_BZIP2] = &bzip2,
        [LIBRARY_LZO] = &lzo,
        [LIBRARY_ZSTD] = &zstd,
};
static_assert(ELEMENTSOF(functions) == _LIBRARY_MAX, "one structure per library");

static int load_locked(Library l, char **reterr) {
        void *h;

        if (handles[l])
                return 0;

        /* Lazy: binding every function of ICU and libxml2 would be most of the time. */
        h = dlopen(libraries[l].soname, RTLD_LAZY | RTLD_LOCAL);
        if (!h)
                return error_set(reterr, -ENOPKG, "cannot load %s, which %s: %s: %s", libraries[l].soname,
                                libraries[l].purpose, libraries[l].remedy, dlerror());

        FOREACH_ARRAY(f, libraries[l].functions, libraries[l].n_functions) {
                void *symbol = dlsym(h, f->name);

                if (!symbol) {
                        memset(functions[l], 0, libraries[l].size);
                        (void) dlclose(h);
                        return error_set(reterr, -ENOPKG, "%s has no function %s: it is too old; %s",
                                        libraries[l].soname, f->name, libraries[l].remedy);
                }
                *(void **) ((char *) functions[l] + f->offset) = symbol;
        }
        handles[l] = h;
        return 0;
}

static int load(Library l, char **reterr) {
        int r;

        (void) pthread_mutex_lock(&mutex);
        r = load_locked(l, reterr);
        (void) pthread_mutex_unlock(&mutex);
        return r;
}

#define LIBRARY_GETTER(name, type, library, structure)                                                      \
        int name(const type **ret, char **reterr) {                                                         \
                int r = load(library, reterr);                                                              \
                                                                                                            \
                if (r >= 0)                                                                                 \
                        *ret = &structure;                                                                  \
                return r;                                                                                   \
        }

LIBRARY_GETTER(archive_library_get, ArchiveLibrary, LIBRARY_ARCHIVE, archive)
LIBRARY_GETTER(zlib_library_get, ZlibLibrary, LIBRARY_ZLIB, zlib)
LIBRARY_GETTER(bzip2_library_get, Bzip2Library, LIBRARY_BZIP2, bzip2)
LIBRARY_GETTER(lzo_library_get, LzoLibrary, LIBRARY_LZO, lzo)
LIBRARY_GETTER(zstd_library_get, ZstdLibrary, LIBRARY_ZSTD, zstd)

void cpio_library_unload(void) {
        bool any = false;

        (void) pthread_mutex_lock(&mutex);
        for (Library l = 0; l < _LIBRARY_MAX; l++)
                if (handles[l]) {
                        (void) dlclose(handles[l]);
                        handles[l] = NULL;
                        memset(functions[l], 0, libraries[l].size);
                        any = true;
                }
        if (any)
                (void) malloc_trim(/* pad= */ 0);
        (void) pthread_mutex_unlock(&mutex);
}
