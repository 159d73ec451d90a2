/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The two requests of hosts for SEV and SEV-ES: 0 with the reply made, or -errno. */

#include "attestd-service.h"

_warn_unused_result_ int sev_launch(ServiceCall *c);
_warn_unused_result_ int sev_validate(ServiceCall *c);
