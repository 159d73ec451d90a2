/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* ID blocks of the SNP rows of a bundle. Key, author's signature and what all blocks have in common are there once; a row has the signature
 * of its block, from which block and authentication follow. */

#include "crypto-ec.h"
#include "id-block.h"
#include "refs-bundle.h"

/* Signs each SNP row. b->id has the common members but the keys; author: NULL for none. -EINVAL with an error message if no row can have one. */
_warn_unused_result_ int refs_id_sign(RefsBundle *b, const EcKey *id, const EcKey *author, char **reterr);

/* Each signature was made by the key of the bundle over the block of its row, and that of the author over the key: 0, or -EBADMSG with an error message. */
_warn_unused_result_ int refs_id_verify(const RefsBundle *b, char **reterr);

/* The block and its authentication as the firmware takes them, of a row that has a signature. */
void refs_id_files(
                const RefsBundle *b, const RefsLaunch *l, const RefsRun *run, size_t i, IdBlockFiles *ret);

/* Members, for the files that read and write a bundle. */
int refs_read_id(const Json *v, void *target, char **reterr);
int refs_read_id_signatures(RefsRun *run, const Json *v, char **reterr);
_warn_unused_result_ int refs_id_json(const RefsBundle *b, Json **ret);
_warn_unused_result_ int refs_id_signatures_json(const RefsRun *run, Json **ret);
