/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hashes of what a launch plan hands over: kernel, initrd and words as wholes and part by part. Bytes are hashed while they are
 * read through one small buffer a thread; nothing is held whole. */

#include <stdbool.h>
#include <stdint.h>

#include "crypto-hash.h"
#include "measure-hashes.h"
#include "plan.h"

typedef struct InputPart {
        const char *label; /* borrowed from the plan */
        uint64_t size;
        uint8_t sha256[SHA256_SIZE];
} InputPart;

typedef struct InputDigest {
        bool present;
        uint64_t size;
        uint8_t sha256[SHA256_SIZE]; /* of the parts one after another */
        uint8_t sha256_nul
                        [SHA256_SIZE]; /* with one NUL after: the kernel hashes' entry for the command line */
        InputPart *parts;              /* owned */
        size_t n_parts;
} InputDigest;

void input_digest_done(InputDigest *d);

/* One input, in this thread. An absent input gives the digest of nothing. With an error message on failure; `name` is what
 * the input is called in it. */
_warn_unused_result_ int input_digest(
                const PlanInput *in, const char *name, InputDigest *ret, char **reterr);

/* Feeds the parts from number `first` on into a hash. */
_warn_unused_result_ int input_feed(
                const PlanInput *in, size_t first, const char *name, Hash *hash, char **reterr);

typedef struct PlanDigests {
        InputDigest kernel, initrd, cmdline;
} PlanDigests;

void plan_digests_done(PlanDigests *d);

/* Kernel, initrd and words at once: the largest input in this thread, the others beside it. `beside` (may be NULL) runs in one
 * of those threads, too: for the firmware, which is hashed differently. */
typedef int (*BesideFunction)(void *userdata, char **reterr);
_warn_unused_result_ int plan_digests(const LaunchPlan *plan, BesideFunction beside, void *userdata,
                PlanDigests *ret, char **reterr);

/* The digests of no inputs at all. */
_warn_unused_result_ int plan_digests_empty(PlanDigests *ret);

/* The kernel hashes of a plan: an absent initrd is the empty one, absent words are one NUL. */
void plan_digests_hashes(const PlanDigests *d, KernelHashes *ret);
