/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What this QEMU can do, asked from itself instead of derived from a version number: its QAPI schema and its object
 * types. Pure functions over the value of query-qmp-schema, and the calls that fetch it.
 *
 * Theory of operation. query-qmp-schema answers with a flat array of entities {name, meta-type, ...}. A command names its
 * argument type (arg-type) by a meaningless number; an object type has members {name, type}, and variants {case, type}
 * whose members come with a value of the tag (the drivers of blockdev-add). Spec: QEMU 10.0 qapi/introspect.json. */

#include <stdbool.h>
#include <stdint.h>

#include "json.h"
#include "macro.h"
#include "qmp-client.h"

bool qmp_schema_has_command(const Json *schema, const char *command);
bool qmp_schema_has_event(const Json *schema, const char *event);
/* Does the command take this argument, in its own members or those of any variant? Not: members of members. */
bool qmp_schema_has_argument(const Json *schema, const char *command, const char *argument);

/* *ret: owned. */
_warn_unused_result_ int qmp_query_schema_wait(
                QmpClient *c, uint64_t timeout_usec, Json **ret, char **reterr);
/* Is there an object type of this name, e.g. "sev-snp-guest"? 1, 0 or an error. */
_warn_unused_result_ int qmp_type_exists_wait(
                QmpClient *c, const char *type, uint64_t timeout_usec, char **reterr);
