/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Verdicts as one page for people: verdict, what was checked and what was not, the chain of trust, the reference, the report's fields. */

#include "html.h"
#include "json.h"
#include "macro.h"

/* list: what `report verify --json` prints, each with its "file". */
_warn_unused_result_ int report_html_print(const Json *list);
