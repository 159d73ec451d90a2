/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The signed list of a bundle: the member "signed-list" is a DSSE envelope (crypto-dsse.h) of
 * {"format", "created", "files": [{"name", "sha256"}]}, which names all files of the bundle in their order. Who carries a bundle can then neither leave a file out
 * nor put a genuine one, of another bundle, in its place. */

#include "collateral-bundle.h"
#include "crypto-dsse.h"
#include "crypto-sign.h"

#define COLLATERAL_LIST_FORMAT "cvmspawn-collateral-list-v1"
#define COLLATERAL_LIST_TYPE   "application/vnd.cvmspawn.collateral-list+json"

/* Gives the bundle its list, signed by this key; or the list that it has one more signature. The bundle must not be changed afterwards. */
_warn_unused_result_ int collateral_bundle_sign(Json *bundle, const SignKey *key, char **reterr);

/* All of these keys signed the list, and it is that of the files: 0, and when it was made. -EKEYREJECTED with an error message: not signed, or altered.
 * -EBADMSG: it cannot be read. */
_warn_unused_result_ int collateral_bundle_verify(
                const Json *bundle, const DsseKey *keys, size_t n_keys, int64_t *ret_created, char **reterr);
