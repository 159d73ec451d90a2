/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The results of a matrix as texts: JSON for each guest, JUnit's XML for CI servers, Markdown for people. */

#include "json.h"
#include "matrix-result.h"

typedef struct MatrixCounts {
        size_t passed, failed, errors, skipped; /* skipped: not run, cancelled or interrupted */
        uint64_t usec;                          /* of all guests */
} MatrixCounts;

MatrixCounts matrix_count(const MatrixResult *results, size_t n);

_warn_unused_result_ int matrix_result_to_json(const MatrixResult *r, Json **ret);

/* tail: the end of the guest's log, or NULL; borrowed by the callee for the call. */
typedef char *(*MatrixLogTail)(const MatrixResult *r, void *userdata); /* owned by the caller; NULL: none */
/* Elements and attributes as Jenkins' and GitLab's readers of JUnit take them. */
_warn_unused_result_ int matrix_to_junit(const char *name, const MatrixResult *results, size_t n,
                MatrixLogTail tail, void *userdata, char **ret);
_warn_unused_result_ int matrix_to_markdown(
                const char *name, const MatrixResult *results, size_t n, char **ret);
