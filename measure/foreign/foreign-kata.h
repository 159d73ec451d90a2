/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Kata Containers' configuration.toml as a QEMU command line, by the rules of its Go runtime 4.1 (kata/kata-words.h; src/runtime/pkg/govmm/qemu). */

#include "foreign.h"

typedef struct KataLine {
        char **argv;    /* owned */
        char **notices; /* owned */
} KataLine;

void kata_line_done(KataLine *l);
/* -EINVAL with an error message. */
_warn_unused_result_ int kata_line_read(
                const char *text, size_t size, const ForeignOptions *o, KataLine *ret, char **reterr);
