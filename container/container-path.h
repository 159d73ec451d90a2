/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Paths inside an image, in one spelling: without a slash at the beginning or end, without "." and empty components. */

#include "macro.h"

#define CONTAINER_PATH_MAX   4096u
#define CONTAINER_LEVELS_MAX 128u /* components of a path */

/* The name of an archive's member. -EXDEV: it has a ".." and means something outside perhaps; -ENAMETOOLONG. *ret is "" for the root. */
_warn_unused_result_ int container_path_clean(const char *name, char ret[static CONTAINER_PATH_MAX]);
/* A path, or a link's target, which begins in `folder` unless it is absolute; ".." ends at the image's root. */
_warn_unused_result_ int container_path_join(const char *folder, const char *target, const char *rest,
                char ret[static CONTAINER_PATH_MAX]);
