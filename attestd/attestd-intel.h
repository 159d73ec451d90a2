/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Intel's statements and revocation lists in the service's cache, for those who watch over it. */

#include <stdint.h>

#include "attestd-service.h"
#include "td-pcs.h"

#define INTEL_KEPT_MAX 64u /* kinds of processors and lists: each is verified, while other requests wait */

/* name: of the file, borrowed; next_update: seconds since 1970. */
typedef int (*IntelKeptFunction)(void *userdata, TdPcsKind kind, const char *name, int64_t next_update);

/* For each file of kds_cache that is Intel's and verifies up to the root: 0, -ENOMEM, or what the function returns below 0. At most INTEL_KEPT_MAX of
 * them; none without a cache. */
_warn_unused_result_ int intel_each_kept(const Service *s, IntelKeptFunction f, void *userdata);
