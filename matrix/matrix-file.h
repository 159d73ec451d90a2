/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The file of `cvmspawn run-matrix`: many guests, each with the options of cvmspawn(1), in JSON or YAML.
 *
 *     {"jobs": 2,
 *      "defaults": LAYER,
 *      "templates": {NAME: LAYER, ...},
 *      "guests": [LAYER with "name", ...]}
 *
 * A LAYER is {"extends": TEMPLATE, "options": {NAME: VALUE}, "kernel-arguments": [...], "expect-status": N, "retry": N}. A guest is made of the defaults,
 * the templates that it extends, the outermost first, and what stands with it; what comes later replaces a member, and each option by its
 * name. An option keeps the place where it was named first, since order enters the digest of credentials. */

#include <stdbool.h>
#include <stddef.h>

#include "json.h"
#include "macro.h"

#define MATRIX_FILE_MAX   (4u * 1024u * 1024u)
#define MATRIX_GUESTS_MAX 4096u

typedef struct MatrixGuest {
        char *name;       /* owned */
        char **arguments; /* owned: of cvmspawn, without argv[0] */
        unsigned expect_status, retry;
} MatrixGuest;

typedef struct Matrix {
        unsigned jobs;       /* 0: not said */
        MatrixGuest *guests; /* owned */
        size_t n_guests;
} Matrix;

void matrix_done(Matrix *m);

/* `yaml`: the text may be YAML; JSON otherwise. All of it is checked, templates that nobody extends as well. */
_warn_unused_result_ int matrix_parse(const char *text, size_t size, bool yaml, Matrix *ret, char **reterr);
/* One guest with these arguments of cvmspawn. */
_warn_unused_result_ int matrix_single(const char *name, char *const *arguments, unsigned expect_status,
                Matrix *ret, char **reterr);
