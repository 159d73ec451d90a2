/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files of a launch on a page for people. */

#include "html.h"
#include "json.h"

/* inputs: a launch's member of that name, by input with its parts, as in docs/refs.schema.json. A table with a heading row. */
void refs_inputs_html(Text *t, const Json *inputs);
