/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "macro.h"

/* To be called before the first use of OpenSSL, as all of this room does. No openssl.cnf is read (another provider must not
 * change a verdict) and nothing is run at exit. Calling it again is cheap. -ENOMEM: nothing of OpenSSL may be called. */
_warn_unused_result_ int crypto_init(void);

/* For programs, at their start: OpenSSL's error texts, of which there are some thousand, are not set up. Only keys behind a URI
 * (ec_key_open()) are explained with them. */
_warn_unused_result_ int crypto_init_terse(void);

/* After a failed call: `verdict` if OpenSSL's first error is one of RSA or of elliptic curves about the data (a bad signature, a point that is not on
 * the curve), else -ENOMEM: what failed for want of memory, or for a reason that is not known, has decided nothing. Empties the queue. */
int crypto_failure(int verdict);
/* The same where an empty queue means the verdict, too: a comparison that was made. */
int crypto_rejected(int verdict);
