/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "guest-port.h"
#include "json.h"

/* What a problem says: short and printable, since it comes from outside and goes to a console. Owned; NULL: out of memory. */
char *attest_detail(const Json *j);
/* Asks until there is an answer that waiting would not change: its status, with the body. With an error message -ETIMEDOUT and other
 * errors of the port; -ENOMEM. */
_warn_unused_result_ int attest_ask(
                GuestPort *port, const char *verb, const Json *body, Json **ret, char **reterr);
