/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files of a cache as one JSON document, for machines without a network: {"format", "created", "files": [{"name", "data"}]}.
 * What it holds is signed by AMD or Intel and verified when it is imported, like an answer of their services: the carrier of the file can leave something out,
 * and nothing else. With a signed list (collateral-signed.h) not even that. */

#include "json.h"
#include "macro.h"

#define COLLATERAL_BUNDLE_FORMAT    "cvmspawn-collateral-v1"
#define COLLATERAL_BUNDLE_SIZE_MAX  (256u * 1024 * 1024)
#define COLLATERAL_BUNDLE_FILES_MAX 65536u
#define COLLATERAL_FILE_NAME_MAX    192u

/* Letters, digits, '.' and '-', and a name that the cache can have: never a path. */
_warn_unused_result_ int collateral_name_check(const char *name, char **reterr);
/* *ret is a new document without files. */
_warn_unused_result_ int collateral_bundle_new(int64_t now, Json **ret);
_warn_unused_result_ int collateral_bundle_add(Json *bundle, const char *name, const void *p, size_t n);

/* For each file in its order; what the handler returns below 0 ends it. */
typedef int (*CollateralBundleHandler)(
                void *userdata, const char *name, const void *p, size_t n, char **reterr);
/* *ret is owned. -EBADMSG with an error message: not a bundle; its files are not read yet. */
_warn_unused_result_ int collateral_bundle_parse(const char *text, size_t size, Json **ret, char **reterr);
/* -EBADMSG with an error message: the entry that is not a file. */
_warn_unused_result_ int collateral_bundle_each(
                const Json *bundle, CollateralBundleHandler handler, void *userdata, char **reterr);
