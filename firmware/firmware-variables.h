/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* UEFI variables in a firmware image's variable store, as edk2 lays them out (MdeModulePkg, VariableFormat.h): a firmware volume whose header
 * gives its length, a store header, then variables with a header, name and data, each aligned to four bytes. */

#include <stddef.h>
#include <stdint.h>

#include "encode.h"
#include "macro.h"

typedef struct FirmwareVariable {
        const uint8_t *data; /* borrowed; NULL: not set */
        size_t size;
} FirmwareVariable;

/* `volume` is the image's part with the variables. name is ASCII. Where a variable is not set, *ret is empty. -EBADMSG with an error
 * message where the store is malformed. */
_warn_unused_result_ int firmware_variable_parse(const uint8_t *volume, size_t size, const Guid *vendor,
                const char *name, FirmwareVariable *ret, char **reterr);
