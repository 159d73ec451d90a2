/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where certificates come from that are not at hand. This room knows names of things, never the network: the programs in
 * cli/ connect this interface to a disk cache and to http/. Tests connect it to a folder. */

#include <stddef.h>

#include "macro.h"

typedef struct Collateral Collateral;

struct Collateral {
        /* Fetches `path` below the service's base URL, e.g. "/cek/id/0123...": at most max bytes, owned, in *ret. -ENOENT:
         * the service does not have it; anything else: could not be asked. */
        int (*fetch)(const Collateral *c, const char *path, size_t max, char **ret, size_t *ret_size,
                        char **reterr);
        void *userdata;
};
