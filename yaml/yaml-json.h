/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* YAML as JSON and back. What JSON cannot express is refused: several documents, tags, anchors and aliases, keys that are not texts, duplicate
 * keys. Plain scalars have the meaning of YAML 1.2's core schema (10.3.2), where 'no' and 'yes' are texts; numbers that are not whole stay texts,
 * too. */

#include "json.h"

/* `instead`: what a refused anchor or alias is to be replaced with, for the end of a sentence ("; use X"), or "". -EBADMSG with line and column;
 * -ENOPKG if libyaml cannot be loaded. */
_warn_unused_result_ int yaml_json_read(
                const char *text, size_t size, const char *instead, Json **ret, char **reterr);
/* One document, owned: texts in quotes, or as a block where they have several lines, so that YAML 1.1 reads them alike. -ENOPKG as above. */
_warn_unused_result_ int yaml_json_text(const Json *j, char **ret, char **reterr);
