/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "config.h"
#include "extract-child.h"

/* --linux=from-image, or --image= of a confidential guest without --linux=: kernel, initrd and command line become those of the image. The files
 * are in `keep` and must stay open until resolve_launch() is done. `ret_notices` is what the user is to know, an owned list. */
_warn_unused_result_ int extract_into_config(
                VmConfig *config, ExtractChild *keep, char ***ret_notices, char **reterr);
