/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "yaml-library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

#include "error.h"

#define SONAME "libyaml-0.so.2"

int yaml_library_get(YamlLibrary *ret, char **reterr) {
        static const struct {
                const char *name;
                size_t offset;
        } functions[] = {
#define ROW(name) { #name, offsetof(YamlLibrary, name) },
                YAML_FUNCTIONS(ROW)
#undef ROW
        };
        void *h = dlopen(SONAME, RTLD_LAZY | RTLD_LOCAL);

        if (!h)
                return error_set(reterr, -ENOPKG,
                                "cannot load " SONAME
                                ", which YAML needs: install the Debian package libyaml-0-2, or use JSON: %s",
                                dlerror());
        FOREACH_ARRAY(f, functions, ELEMENTSOF(functions)) {
                void *symbol = dlsym(h, f->name);

                if (!symbol)
                        return error_set(reterr, -ENOPKG,
                                        SONAME " has no function %s: install libyaml 0.2, or use JSON",
                                        f->name);
                *(void **) ((char *) ret + f->offset) = symbol;
        }
        return 0;
}
