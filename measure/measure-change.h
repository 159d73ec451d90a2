/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What people get wrong, as data: single changes of a launch that would give another digest. */

#include "measure-context.h"

typedef enum ChangeDimension {
        /* what comes before the VMSAs */
        CHANGE_FIRMWARE,
        CHANGE_HASHES,
        CHANGE_CMDLINE,
        CHANGE_INITRD,
        CHANGE_PROFILE,
        CHANGE_PAGE_ORDER, /* TDX */
        /* what is in them */
        CHANGE_FEATURES,
        CHANGE_SIGNATURE,
        CHANGE_VCPUS,
        _CHANGE_DIMENSION_MAX,
} ChangeDimension;

/* Values of SEV_FEATURES that occur, and CPU signatures of processors that are not those of a model (0 ends no list: it is one of them). */
const uint64_t *change_known_features(size_t *ret_n);
const uint32_t *change_real_signatures(size_t *ret_n);

#define CHANGE_FIRST_VMSA CHANGE_FEATURES

typedef struct Change {
        ChangeDimension dimension;
        char *text;   /* owned; "guest features 0x21 instead of 0x1" */
        char *option; /* owned; the option that makes it, "--guest-features=0x21"; NULL: there is none */
        const FirmwareImage *firmware;
        bool kernel_hashes;
        uint8_t sha256[SHA256_SIZE]; /* of words (with the NUL) or initrd */
        VmmProfile profile;
        uint64_t features;
        uint32_t signature;
        unsigned vcpus;
        bool two_pass;
} Change;

/* As sev-snp-measure has it: an empty text is an option that was not given. */
#define NO_KERNEL_OPTIONS "--kernel= --initrd= --append="

typedef struct ChangeList {
        Change *items; /* owned */
        size_t n_items;
} ChangeList;

void change_list_done(ChangeList *l);

/* All changes of one launch worth trying but those of firmware and vCPU count. */
_warn_unused_result_ int change_list_build(
                const MeasureContext *c, const LaunchSpec *base, ChangeList *ret, char **reterr);
/* Kernel hashes, kernel command line and initrd: measure-change-boot.c. */
_warn_unused_result_ int change_list_add_boot(
                ChangeList *l, const MeasureContext *c, const LaunchSpec *base, char **reterr);
/* --append= with these words, quoted for a shell, on one line; owned. NULL: out of memory. */
char *change_append_option(const char *words);
/* The text of a launch's words: owned and NUL-terminated; NULL where only a hash is known. */
_warn_unused_result_ int change_words(const MeasureContext *c, char **ret);
/* Takes text and option, also on failure; a NULL text is -ENOMEM. */
_warn_unused_result_ int change_list_add(ChangeList *l, Change change, char *text, char *option);
char *change_text(const char *f, ...) _printf_(1, 2); /* owned; NULL: out of memory */
_warn_unused_result_ int change_list_add_firmware(
                ChangeList *l, const char *path, const FirmwareImage *firmware);

/* Makes the change. */
void change_apply(const Change *change, LaunchSpec *spec, const FirmwareImage **firmware);
