/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a boot loader in a disk image could boot, found without running it: each finder adds the entries of one kind that are in one
 * volume. Paths stay those of the entry; nothing is opened yet. */

#include <stdbool.h>

#include "volume.h"

#define BOOT_ENTRIES_MAX 1024u /* over all volumes; an installation has a handful */
#define BOOT_INITRDS_MAX 32u
#define BOOT_WORDS_MAX   (64u * 1024u)

/* In the order in which one is chosen. */
typedef enum BootSource {
        BOOT_UKI,
        BOOT_BLS,
        BOOT_GRUB,
        BOOT_FILES,
        _BOOT_SOURCE_MAX,
} BootSource;

typedef struct BootRange {
        uint64_t offset, size;
} BootRange;

/* All strings are owned; NULL: not said. */
typedef struct BootEntry {
        BootSource source;
        size_t volume; /* index, for the caller */
        char *file;    /* the loader entry, grub.cfg or unified kernel image; the kernel of BOOT_FILES */
        char *id, *title, *version, *sort_key;
        char *kernel;             /* NULL: a unified kernel image, and the ranges below */
        char **initrds;           /* owned */
        char *words;              /* the kernel command line */
        BootRange linux_, initrd; /* in `file` */
        bool preferred;           /* what the loader's configuration says is its default */
        bool bad;                 /* boot counting: no tries are left */
        bool fallback;            /* one of its kind that is only used where no other is */
} BootEntry;

typedef struct BootEntries {
        BootEntry *items; /* owned */
        size_t n_items;
        char **problems; /* owned: what looked like an entry and is none, and why */
} BootEntries;

const char *boot_source_to_string(BootSource s);
void boot_entry_done(BootEntry *e);
void boot_entries_done(BootEntries *l);
/* Takes the entry's strings, also on failure; checks that it names something. */
_warn_unused_result_ int boot_entries_add(BootEntries *l, BootEntry *e);
/* An entry that cannot be used does not hide the others. Takes the message. */
_warn_unused_result_ int boot_entries_problem(BootEntries *l, const char *file, int r, char *message);
/* Which of two is chosen: below 0 is the first. */
int boot_entry_compare(const BootEntry *a, const BootEntry *b);

/* UAPI group, Version Format Specification. */
int boot_version_compare(const char *a, const char *b);
/* What follows "vmlinuz-" and the like in a kernel's path; owned, NULL with r == 0 where nothing does. */
_warn_unused_result_ int boot_version_of(const char *kernel, char **ret);
/* Blanks at the ends go, and runs of blanks become one: as GRUB's and a shell's words. -EBADMSG for control characters. In place. */
_warn_unused_result_ int boot_words_clean(char *words);

/* Finders; an absent file is not an error. */
_warn_unused_result_ int boot_find_uki(Volume *v, BootEntries *l, char **reterr);
_warn_unused_result_ int boot_find_bls(Volume *v, BootEntries *l, char **reterr);
_warn_unused_result_ int boot_find_grub(Volume *v, BootEntries *l, char **reterr);
_warn_unused_result_ int boot_find_files(Volume *v, BootEntries *l, char **reterr);

/* Parsers of their texts, for tests; `file` goes into the entries. */
_warn_unused_result_ int boot_bls_parse(const char *file, char *text, BootEntry *ret, char **reterr);

/* The names in a directory that begin and end so; owned list, empty where the directory is absent. */
_warn_unused_result_ int boot_list(Volume *v, const char *directory, const char *prefix, const char *suffix,
                char ***ret, char **reterr);
