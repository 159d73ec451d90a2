/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cpio-library.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>

#include "cpio-archive.h"
#include "error.h"

#define LIBARCHIVE_SONAME "libarchive.so.13"

typedef struct FunctionRow {
        const char *name;
        size_t offset; /* of the pointer in ArchiveLibrary */
} FunctionRow;

static const FunctionRow functions[] = {
#define FUNCTION_ROW(name) { #name, offsetof(ArchiveLibrary, name) },
        ARCHIVE_LIBRARY_FUNCTIONS(FUNCTION_ROW)
#undef FUNCTION_ROW
};

/* dlopen() counts per process as well, so this state is the process's by nature. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void *handle;
static ArchiveLibrary library;

static int load_locked(char **reterr) {
        ArchiveLibrary found = {};
        void *h;

        if (handle)
                return 0;

        /* Lazy: binding every function of ICU and libxml2 would be most of the time. */
        h = dlopen(LIBARCHIVE_SONAME, RTLD_LAZY | RTLD_LOCAL);
        if (!h)
                return error_set(reterr, -ENOPKG,
                                "cannot load %s, which packs credentials and reads initrds: install the "
                                "Debian "
                                "package libarchive13 (libarchive13t64 since Debian 13): %s",
                                LIBARCHIVE_SONAME, dlerror());

        FOREACH_ARRAY(f, functions, ELEMENTSOF(functions)) {
                void *symbol = dlsym(h, f->name);

                if (!symbol) {
                        (void) dlclose(h);
                        return error_set(reterr, -ENOPKG,
                                        "%s has no function %s: it is too old, install libarchive 3.6 or "
                                        "later",
                                        LIBARCHIVE_SONAME, f->name);
                }
                *(void **) ((char *) &found + f->offset) = symbol;
        }

        library = found;
        handle = h;
        return 0;
}

int cpio_library_load(char **reterr) {
        int r;

        (void) pthread_mutex_lock(&mutex);
        r = load_locked(reterr);
        (void) pthread_mutex_unlock(&mutex);
        return r;
}

int archive_library_get(const ArchiveLibrary **ret, char **reterr) {
        int r = cpio_library_load(reterr);

        if (r < 0)
                return r;
        *ret = &library;
        return 0;
}

void cpio_library_unload(void) {
        (void) pthread_mutex_lock(&mutex);
        if (handle) {
                (void) dlclose(handle);
                handle = NULL;
                library = (ArchiveLibrary) {};
                (void) malloc_trim(/* pad= */ 0);
        }
        (void) pthread_mutex_unlock(&mutex);
}
