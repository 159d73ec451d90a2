/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A verdict about a quote, for people and programs: the lines and members of snp-result.h where both technologies have them. */

#include "json.h"
#include "td-policy.h"

_warn_unused_result_ int td_result_text(
                const TdResult *r, const TdPolicy *p, const Violations *v, char **ret);
_warn_unused_result_ int td_result_json(
                const TdResult *r, const TdPolicy *p, const Violations *v, Json **ret);
