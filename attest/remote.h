/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the clients of AMD's key service and of Intel's PCS share: when a service may be asked again, by all programs that share a cache, and the files of that cache. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define REMOTE_BACKOFF_MAX 600u /* whatever a service says, we ask again after this */

typedef struct RemotePace {
        const char *who;    /* "AMD's key service" */
        const char *url;    /* of the service that is asked */
        const char *vendor; /* the vendor's own URL, if the file of the pace has a short name for it; or NULL */
        int dir;            /* the cache; -EBADF: none */
        unsigned patience;                /* seconds */
        int64_t (*clock)(void *userdata); /* seconds since 1970 */
        void (*wait)(void *userdata, unsigned seconds);
        void *userdata;
} RemotePace;

/* One request: 0 with the server's status, or -errno with an error message. */
typedef int (*RemoteOnce)(void *context, unsigned *ret_status, unsigned *ret_retry_after, char **reterr);
/* Asks as often as the patience allows: 200 or 404, -EAGAIN with an error message if the service has to be left alone for longer, -EPROTO for another status,
 * or what the request failed with. */
_warn_unused_result_ int remote_ask(const RemotePace *p, RemoteOnce once, void *context, char **reterr);

/* Opens the cache, and makes it if it is missing: a directory, or -errno. */
_warn_unused_result_ int remote_cache_open(const char *path);
/* Only regular files, up to `max` bytes. -ENOENT: there is none that can be read. *ret_stored, if not NULL, is when it was written. */
_warn_unused_result_ int remote_cache_read(
                int dir, const char *name, size_t max, char **ret, size_t *ret_size, int64_t *ret_stored);
/* Whole or not at all, also for readers in other processes. */
_warn_unused_result_ int remote_cache_write(int dir, const char *name, const void *p, size_t n);
