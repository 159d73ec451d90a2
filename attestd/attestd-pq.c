/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-pq.h"

#include <dlfcn.h>
#include <errno.h>

#include "error.h"

PqLibrary pq;

int pq_load(char **reterr) {
        void *handle;

        if (pq.handle)
                return 0;
        handle = dlopen(PQ_SONAME, RTLD_NOW | RTLD_LOCAL);
        if (!handle)
                return error_set(reterr, -EOPNOTSUPP,
                                "PostgreSQL's client library cannot be loaded (%s): install libpq5",
                                dlerror());
#define FUNCTION(result, name, arguments)                                                                   \
        pq.name = (typeof(pq.name)) dlsym(handle, #name);                                                   \
        if (!pq.name) {                                                                                     \
                (void) dlclose(handle);                                                                     \
                return error_set(reterr, -EOPNOTSUPP, "libpq is too old: it has no " #name);                \
        }
        PQ_FUNCTIONS
#undef FUNCTION
        pq.handle = handle;
        return 0;
}
