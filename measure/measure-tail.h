/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The end of an initrd: is there a credentials archive that a launcher appended, and what is the hash without it? */

#include <stdint.h>

#include "crypto-hash.h"
#include "plan.h"

/* 1 with the SHA-256 of what lies before the archive and its padding, 0 where there is none at the end. */
_warn_unused_result_ int initrd_without_credentials(
                const PlanPart *part, uint8_t ret[static SHA256_SIZE], char **reterr);
