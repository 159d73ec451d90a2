/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which database: SQLite's in the state directory, or the one of --store=. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attestd.h"
#include "error.h"
#include "strutil.h"

bool attestd_store_is_shared(const AttestdArgs *a) {
        return a->store && (startswith(a->store, "postgresql://") || startswith(a->store, "postgres://"));
}

int attestd_open_store(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        const char *path = a->store ? startswith(a->store, "sqlite:") : NULL;

        if (attestd_store_is_shared(a)) {
                w->store_name = strdup("postgresql");
                return w->store_name ? store_postgresql_open(a->store, &w->store, reterr) : -ENOMEM;
        }
        if (a->store && (!path || *path != '/'))
                return error_set(reterr, -EINVAL,
                                "--store: expected postgresql://HOST/DATABASE or sqlite:/PATH, not '%s'",
                                a->store);
        if (asprintf(&w->store_name, "%s%s", path ?: w->state, path ? "" : "/state.db") < 0) {
                w->store_name = NULL;
                return -ENOMEM;
        }
        return store_sqlite_open(w->store_name, &w->store, reterr);
}
