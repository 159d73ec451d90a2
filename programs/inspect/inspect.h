/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "json.h"

/* A bzImage: boot protocol, version, and whether it is built for a confidential guest as far as that can be told. */
_warn_unused_result_ int inspect_kernel(const char *path, Json *j, char **reterr);
/* What is in a disk image, as 'cvmspawn extract' finds it: all of it, or the members that people look for. */
_warn_unused_result_ int inspect_image(const char *path, bool all, Json *j, char **reterr);
