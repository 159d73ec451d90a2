/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* cmocka with the headers it wants in front, and the few assertions that all tests share. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* last: needs the ones above */

#define assert_ok(r)          assert_return_code((r), 0)
#define assert_error(r, code) assert_int_equal((r), -(code))
