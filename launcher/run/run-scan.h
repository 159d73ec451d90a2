/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a scan finds out about the files in front of the credentials, and what follows from it. */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "json.h"
#include "launch.h"

/* Of an initrd that the kernel unpacks as a whole. */
typedef struct ScanFacts {
        bool initrd_release, has_sh;
        unsigned systemd_version; /* of the oldest; 0: none */
        uint64_t content;         /* bytes after decompression, without our archive */
        bool lasting;             /* true of these bytes whatever credentials follow them */
} ScanFacts;

typedef struct ScanAnswer {
        int result;
        bool has_sh;
        char sentence[512];
        char notice[256]; /* empty: none */
        ScanFacts facts;  /* if the initrd could be read */
} ScanAnswer;

/* PURE: can PID 1 there import credentials, and is there enough memory? */
void run_scan_judge(const LaunchInputs *in, uint64_t ram, const ScanFacts *facts, ScanAnswer *a);

/* Facts that an earlier scan of the same bytes found: in a folder of files of some hundred bytes, which may be removed at any time. What is
 * wrong with it is as if nothing were known.
 *
 * The key of a launch's initrd, from the measure program's answer: its size and SHA-256; *ret is owned, and NULL where it is made of
 * several files. */
_warn_unused_result_ int run_known_key(const Json *answer, char **ret);
/* Whether facts of an initrd of this size are known: then it is worth waiting for its digest. */
bool run_known_size(uint64_t size);
bool run_known_load(const char *key, ScanFacts *ret);
void run_known_store(const char *key, const ScanFacts *facts);
