/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files and bytes as the inputs of a request: opened here, read when they are hashed. */

#include <stdint.h>

#include "macro.h"
#include "measure-request.h"

/* Files that many requests share: each is opened once, and bytes from memory go to one memory file. */
typedef struct RequestFiles {
        struct RequestFile {
                char *path; /* owned */
                int fd;     /* owned */
                uint64_t size;
        } * items; /* owned */
        size_t n_items;
        int scratch;          /* owned */
        uint64_t scratch_end; /* set to 0 when the requests that use it are gone */
} RequestFiles;

#define REQUEST_FILES_NONE ((RequestFiles) { .scratch = -EBADF })
void request_files_done(RequestFiles *f);

/* Opens a file as an input of one part; the descriptor belongs to the request, or to the files that it shares. With an error message
 * that names the file. */
_warn_unused_result_ int measure_request_open(
                MeasureRequest *r, const char *path, PlanInput *in, char **reterr);
/* Zero bytes that align what follows as a launcher does it: on 4 bytes, and after lz4's legacy format with at least 4. */
_warn_unused_result_ int measure_request_pad(PlanInput *in);
/* Bytes from memory as a part. */
_warn_unused_result_ int measure_request_bytes(
                MeasureRequest *r, const char *label, const void *p, size_t n, PlanInput *in);
