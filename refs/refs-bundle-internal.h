/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For the files that read a bundle only. */

#include "refs-bundle.h"

_warn_unused_result_ int refs_check_members(
                const Json *j, const char *const *known, size_t n_known, char **reterr);
/* A member with the hex digits of n bytes. */
_warn_unused_result_ int refs_check_hex(const Json *j, const char *member, size_t n, char **reterr);

/* The digests of one run, which were cut out of the text. */
typedef struct RefsDigests {
        uint8_t *bytes; /* owned: n times size */
        size_t n, size;
} RefsDigests;

/* For refs-bundle-cut.c: a text without its lists of digests. */
struct RefsCut {
        RefsDigests *list; /* owned, in the order of the text */
        size_t n, next;
        char *rest; /* owned: the text, with empty lists in their places */
        size_t rest_size;
};

/* cut: NULL, or the lists that were cut out of the text. -EINVAL and -EBADMSG with an error message that names the member. */
_warn_unused_result_ int refs_bundle_read(const Json *j, RefsCut *cut, RefsBundle *ret, char **reterr);

/* Members, for js_dispatch(); target is a RefsBundle. */
int refs_read_platform(const Json *v, void *target, char **reterr);
int refs_read_tcb(const Json *v, void *target, char **reterr);
int refs_read_learned(const Json *v, void *target, char **reterr);
