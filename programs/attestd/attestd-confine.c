/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the service keeps when it starts to accept connections: the open sockets, the state directory, and read access to the directories of
 * certificates. It cannot start programs, open connections or look at other processes. */

#include <errno.h>
#include <string.h>

#include "attestd.h"
#include "daemon.h"
#include "error.h"
#include "strutil.h"

#define PATHS_OURS 4u /* state, store, --cek-store, --kds-cache */

/* libpq, when it connects again: sockets of this machine only, unless the server is on another one. */
static const char *const of_postgresql[] = { "connect", "ioctl", "recvmmsg", "sendmmsg", "uname" };

/* To read certificates again when they have been replaced: a replaced file is a new one, so that the folder is what must stay readable. */
static int certificate_folders(const AttestdArgs *a, char ***list) {
        const char *const given[] = { a->tls_cert, a->tls_key, a->host_ca };
        int r = 0;

        FOREACH_ARRAY(path, given, ELEMENTSOF(given))
                if (r >= 0 && *path)
                        r = daemon_folders_of(*path, list);
        STRV_FOREACH(path, a->tdx_collateral)
                if (r >= 0)
                        r = daemon_folders_of(*path, list);
        return r;
}

int attestd_confine(const AttestdArgs *a, const AttestdWorld *w, char **reterr) {
        const char *calls[ELEMENTSOF(of_postgresql) + 2];
        _cleanup_free_ ConfinePath *paths = NULL;
        size_t n = 0, n_calls = 0;
        _cleanup_strv_free_ char **files = NULL;
        _cleanup_free_ char *folder = NULL;
        bool network = false;
        int r;

        if (attestd_store_is_shared(a)) {
                r = store_postgresql_needs(w->store, &files, &network);
                if (r < 0)
                        return error_set(reterr, r, "--store: the connection is lost: %s", strerror(-r));
                memcpy(calls, of_postgresql, sizeof(of_postgresql));
                n_calls = ELEMENTSOF(of_postgresql);
                calls[n_calls++] = network ? "socket" : CONFINE_SOCKET_UNIX;
        } else if (a->store) {
                folder = strndup(w->store_name, (size_t) (strrchr(w->store_name, '/') - w->store_name) + 1);
                if (!folder)
                        return -ENOMEM;
        }
        r = certificate_folders(a, &files);
        if (r < 0)
                return r;
        paths = calloc(PATHS_OURS + strv_length(files), sizeof(ConfinePath));
        if (!paths)
                return -ENOMEM;
        paths[n++] = (ConfinePath) { w->state, true };
        if (folder)
                paths[n++] = (ConfinePath) { folder, true };
        STRV_FOREACH(f, files)
                paths[n++] = (ConfinePath) { *f, false };
        if (a->cek_store)
                paths[n++] = (ConfinePath) { a->cek_store, false };
        if (a->kds_cache) {
                paths[n++] = (ConfinePath) { a->kds_cache, false };
                calls[n_calls++] =
                                "getdents64"; /* which processors Intel's statements are about is in their names */
        }
        return daemon_confine(&(DaemonConfinement) { paths, n, calls, n_calls, network }, reterr);
}
