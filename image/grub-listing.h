/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What grub-fstest prints of directories, kept: most questions are about files that are not there. Paths begin at the top level, "" for itself. */

#include "volume.h"

#define GRUB_BROKEN UINT64_MAX /* the size of a link that leads nowhere */

typedef struct GrubName {
        char *name; /* owned */
        uint64_t size;
        bool directory;
} GrubName;

typedef struct GrubDirectory {
        char *path;      /* owned */
        GrubName *names; /* owned */
        size_t n_names;
} GrubDirectory;

typedef struct GrubState {
        char *root;                 /* owned; "" or "/@", before each path of a caller */
        GrubDirectory *directories; /* owned */
        size_t n_directories;
        char **files;    /* owned; their index is a file's id */
        uint64_t copied; /* index of the one that the helper copied, */
        uint64_t when;   /* and its number among all questions; 0: none */
} GrubState;

void grub_state_free(GrubState *s);
/* A line of "ls -- -l -a": size, date, name. Cuts the line; false for what is not one. For tests. */
bool grub_listing_line(char *line, char **ret_name, uint64_t *ret_size, bool *ret_directory);
/* The scratch file has the answer to the last question, whichever volume asked. */
_warn_unused_result_ int grub_ask(
                const Volume *v, VolumeHelperTask task, const char *path, uint64_t *ret_size, char **reterr);
/* What is in a directory; *ret is valid until the next call. */
_warn_unused_result_ int grub_list_directory(
                const Volume *v, const char *path, const GrubDirectory **ret, char **reterr);
/* Each component is looked for in its directory's list: -ENOENT. The last one is *ret, NULL for the top level. */
_warn_unused_result_ int grub_walk(const Volume *v, const char *path, const GrubName **ret, char **reterr);

/* grub-root.c: the subvolume that is the root directory; *ret is owned. -errno with an error message. */
_warn_unused_result_ int grub_choose_root(const Volume *v, char **ret, char **reterr);
