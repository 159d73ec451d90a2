/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From what `cvmspawn measure` prints to launches of a bundle: one report, a list of them, one in each line, or a lock file. */

#include "refs-bundle.h"

/* Adds the launches of one document. family_vcpus: how many vCPUs a family covers, 0: no family. -EINVAL
 * with an error message. */
_warn_unused_result_ int refs_build_add(
                RefsBundle *b, const Json *measured, unsigned family_vcpus, char **reterr);

/* The launches of another bundle, which stays as it is, without their ID blocks: those are signed for its policy. */
_warn_unused_result_ int refs_build_append(RefsBundle *b, RefsBundle *other);

/* One value, or one in each line: then a list of them. *ret is owned. */
_warn_unused_result_ int refs_read_json(const char *text, size_t size, Json **ret, char **reterr);
