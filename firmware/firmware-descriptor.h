/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* QEMU firmware descriptors (docs/interop/firmware.json of QEMU): which images are installed, what they can do, and which one
 * a launch takes. Directories are read most specific first; a file name in one hides the same name in later ones, and an empty file
 * or a link to /dev/null masks it. The list is ordered by file name; the first that matches is chosen, as systemd-vmspawn
 * does. */

#include <stdbool.h>
#include <stddef.h>

#include "macro.h"

/* Real descriptors have 1 to 2 KiB. */
#define FIRMWARE_DESCRIPTOR_SIZE_MAX (256u * 1024u)
#define FIRMWARE_DESCRIPTORS_MAX     1024u

typedef enum FirmwareMapping {
        FIRMWARE_MEMORY, /* one file for -bios */
        FIRMWARE_FLASH,  /* pflash: an executable and, unless stateless, a template for the variables */
        _FIRMWARE_MAPPING_MAX,
        _FIRMWARE_MAPPING_INVALID = -22,
} FirmwareMapping;

const char *firmware_mapping_to_string(FirmwareMapping m); /* "memory", "flash" */

typedef struct FirmwareTarget {
        char *architecture; /* owned */
        char **machines;    /* owned; patterns such as "pc-q35-*" */
} FirmwareTarget;

typedef struct FirmwareDescriptor {
        char *path;    /* owned; of the descriptor */
        char *problem; /* owned; a sentence: why the file cannot be used. Nothing below is set then */
        char *description;
        char **interfaces; /* owned; "uefi", "bios" ... */
        FirmwareMapping mapping;
        char *mode;       /* owned; flash: "split" (also when absent), "combined", "stateless"; else NULL */
        char *executable; /* owned; file name of the image */
        char *executable_format; /* owned; "raw", "qcow2" */
        char *nvram_template;    /* owned; NULL: none */
        char *nvram_format;      /* owned; NULL: none */
        FirmwareTarget *targets; /* owned */
        size_t n_targets;
        char **features; /* owned */
} FirmwareDescriptor;

void firmware_descriptor_done(FirmwareDescriptor *d);

/* One file: -EBADMSG, -ENOENT, ... with an error message. */
_warn_unused_result_ int firmware_descriptor_load(const char *path, FirmwareDescriptor *ret, char **reterr);

/* The directories, most specific first, without repetition; lookup is getenv() or a stand-in. */
_warn_unused_result_ int firmware_directories(char *(*lookup)(const char *name), char ***ret);

typedef struct FirmwareList {
        FirmwareDescriptor *items; /* owned; ordered by file name */
        size_t n_items;
} FirmwareList;

void firmware_list_done(FirmwareList *l);
/* Reads all directories; ones that do not exist are skipped; unusable files are kept with their problem. */
_warn_unused_result_ int firmware_list_load(char *const *directories, FirmwareList *ret, char **reterr);

typedef struct FirmwareQuery {
        const char *architecture; /* "x86_64" */
        const char *machine;      /* part of a machine pattern: "q35" */
        bool stateless;           /* no variable store: memory mapping or stateless flash */
        bool nvram_template;      /* a template for the variables must be there */
        bool raw;                 /* only raw images: what -bios can take */
        char *const *include;     /* features that must be there; NULL: none */
        char *const *exclude;     /* features that must not be there, unless included; NULL: none */
} FirmwareQuery;

/* 0, or -EOPNOTSUPP with what is missing ("lacks the feature amd-sev-snp"). */
_warn_unused_result_ int firmware_descriptor_match(
                const FirmwareDescriptor *d, const FirmwareQuery *q, char **reterr);

/* The image that tools/fetch-artifacts put into its cache ($CVMSPAWN_CACHE, /var/cache/cvmspawn, $XDG_CACHE_HOME/cvmspawn or
 * ~/.cache/cvmspawn): for hints, never taken by itself. 0 with an owned path, -ENOENT, -ENOMEM. */
_warn_unused_result_ int firmware_fetched(char *(*lookup)(const char *name), char **ret);

/* The first match: borrowed from the list. -ENOENT with an error message that says the remedy. */
_warn_unused_result_ int firmware_choose(const FirmwareList *l, const FirmwareQuery *q,
                const FirmwareDescriptor **ret, char **reterr);
