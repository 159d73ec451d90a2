/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the members of KubeVirt's objects do to the measured bytes. A member that is in no table is refused by name: a misspelt one would be
 * missing in the digest. */

#include "json.h"

/* The spec of an instance, with all objects in it that the reader looks into. -EINVAL with an error message. */
_warn_unused_result_ int kubevirt_check_spec(const Json *spec, char *const *assumed, char **reterr);
/* The spec of a VirtualMachine, without its template. */
_warn_unused_result_ int kubevirt_check_machine(const Json *spec, char *const *assumed, char **reterr);
