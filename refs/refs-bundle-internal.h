/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For the files that read a bundle only. */

#include "refs-bundle.h"

_warn_unused_result_ int refs_check_members(
                const Json *j, const char *const *known, size_t n_known, char **reterr);
/* A member with the hex digits of n bytes. */
_warn_unused_result_ int refs_check_hex(const Json *j, const char *member, size_t n, char **reterr);

/* Members, for js_dispatch(); target is a RefsBundle. */
int refs_read_platform(const Json *v, void *target, char **reterr);
int refs_read_tcb(const Json *v, void *target, char **reterr);
int refs_read_learned(const Json *v, void *target, char **reterr);
