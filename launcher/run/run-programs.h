/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "macro.h"

/* The path of another program of cvmspawn: beside this one. In a build directory they are called verb-NAME, installed
 * just NAME. *ret is owned. */
_warn_unused_result_ int run_find_program(const char *name, char **ret, char **reterr);
