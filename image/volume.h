/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A file system in a disk image, read by path. Paths begin at its root; links lead nowhere but into it. */

#include <stdbool.h>

#include "block.h"
#include "partition.h"

#define VOLUME_NAMES_MAX 65536u /* entries of a directory that are looked at */
#define VOLUME_PATH_MAX  4096u
#define VOLUME_NAME_MAX  255u
#define VOLUME_COPY_SIZE ((size_t) 1024 * 1024)

typedef struct VolumeFile {
        uint64_t id, size;
} VolumeFile;

/* 0 goes on; a negative value fails the listing. */
typedef int (*volume_name_t)(const char *name, void *userdata);

typedef struct Volume Volume;

/* All: -ENOENT, -ENOTDIR, -EISDIR, -ELOOP without a message for what is not there, other errors with one. */
typedef struct VolumeKind {
        const char *name;
        int (*open)(Volume *v, char **reterr);
        int (*list)(Volume *v, const char *path, volume_name_t each, void *userdata, char **reterr);
        int (*find)(Volume *v, const char *path, VolumeFile *ret, char **reterr);
        int (*read)(Volume *v, const VolumeFile *f, uint64_t offset, void *buf, size_t n, char **reterr);
        void (*done)(Volume *v);
} VolumeKind;

/* Somebody outside this process who can start programs: grub-volume.c. */
typedef enum VolumeHelperTask {
        HELPER_LIST,
        HELPER_COPY,
        _HELPER_TASK_MAX,
} VolumeHelperTask;

typedef struct VolumeHelper VolumeHelper;
struct VolumeHelper {
        /* What the program prints is in the scratch file then, *ret_size bytes. -errno with an error message. */
        int (*ask)(const VolumeHelper *h, VolumeHelperTask task, unsigned partition, const char *path,
                        uint64_t *ret_size, char **reterr);
        int scratch, socket;   /* weak */
        uint64_t asked;        /* how often */
        bool mbr;              /* which table has the partition; set by image_open() */
        const char *subvolume; /* weak; the root directory of btrfs, or NULL */
};

struct Volume {
        const VolumeKind *kind; /* NULL: none */
        Block block;
        Partition partition;  /* number 0: the disk itself */
        VolumeHelper *helper; /* weak; NULL: none */
        void *state;          /* the kind's own */
};

/* What is at the beginning of a partition. */
typedef struct VolumeProbe {
        const VolumeKind *kind; /* NULL: not read here */
        const char *what;       /* "btrfs", "an encrypted volume (LUKS)"; NULL: unknown */
        const char *remedy;     /* of what is known but not read; or NULL */
} VolumeProbe;

VolumeProbe volume_probe(const Block *b);
/* helper: or NULL. -errno with an error message. */
_warn_unused_result_ int volume_open(const VolumeKind *kind, const Block *b, const Partition *partition,
                VolumeHelper *helper, Volume *ret, char **reterr);
void volume_done(Volume *v);

/* A path as loader entries have them: one leading slash, no empty or "." components. -EINVAL with an error message for "..", which leads
 * out of the file system, and for what is too long. *ret is owned. */
_warn_unused_result_ int volume_path(const char *path, char **ret, char **reterr);
_warn_unused_result_ int volume_list(
                Volume *v, const char *path, volume_name_t each, void *userdata, char **reterr);
_warn_unused_result_ int volume_find(Volume *v, const char *path, VolumeFile *ret, char **reterr);
_warn_unused_result_ int volume_read(
                Volume *v, const VolumeFile *f, uint64_t offset, void *buf, size_t n, char **reterr);
/* A text file, NUL-terminated: -E2BIG over max. */
_warn_unused_result_ int volume_text(
                Volume *v, const char *path, size_t max, char **ret, size_t *ret_size, char **reterr);
/* Appends a range of a file to where `to` stands. */
_warn_unused_result_ int volume_copy(
                Volume *v, const VolumeFile *f, uint64_t offset, uint64_t size, int to, char **reterr);
