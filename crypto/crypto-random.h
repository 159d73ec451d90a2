/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The real source of random bytes. Code whose result must be reproducible takes a function of this type instead. */

#include <stddef.h>

#include "macro.h"

typedef int (*RandomFunction)(void *userdata, void *buf, size_t n);

/* From the kernel's generator: 0 or -errno. userdata is ignored. */
_warn_unused_result_ int crypto_random(void *userdata, void *buf, size_t n);
