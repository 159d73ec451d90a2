/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "Why does my digest differ?": searches the neighbourhood of a launch, one and two changes away, for the digest that was seen. */

#include "measure-change.h"

#define EXPECT_CHANGES_MAX 2u
#define EXPECT_ANSWERS_MAX 8u
/* vCPU counts that are tried. */
#define EXPECT_VCPUS_MAX 512u

typedef struct ExpectAnswer {
        char *texts[EXPECT_CHANGES_MAX];   /* owned */
        char *options[EXPECT_CHANGES_MAX]; /* owned; NULL where no option makes the change */
        size_t n_changes;
        LaunchSpec spec; /* with the changes made; the firmware is the one of "--ovmf=" among the options, if there is one */
} ExpectAnswer;

typedef struct ExpectResult {
        bool equal;
        LaunchDigest computed;
        ExpectAnswer answers
                        [EXPECT_ANSWERS_MAX]; /* all with the smallest number of changes that gives the digest */
        size_t n_answers;
} ExpectResult;

void expect_result_done(ExpectResult *r);

/* siblings: paths of other firmware images (NULL-terminated, may be NULL), tried when nothing else fits. */
_warn_unused_result_ int measure_expect(const MeasureContext *c, unsigned vcpus, const MeasureCpu *cpu,
                const uint8_t *expected, size_t n_expected, char *const *siblings, ExpectResult *ret,
                char **reterr);
