/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An instance of Incus as 'incus query /1.0/instances/NAME' and 'incus list --format=json' print it, as a QEMU command line. */

#include "foreign.h"
#include "json.h"

/* *ret is an owned strv, with the firmware of o->given. -EINVAL with an error message. */
_warn_unused_result_ int incus_line_read(
                const Json *instance, const ForeignOptions *o, char ***ret, char **reterr);
