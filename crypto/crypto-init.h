/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* To be called before the first use of OpenSSL, as all of this room does. No openssl.cnf is read (another provider must not
 * change a verdict) and nothing is run at exit. Calling it again is cheap. */
void crypto_init(void);

/* For programs, at their start: OpenSSL's error texts, of which there are some thousand, are not set up. Only keys behind a URI
 * (ec_key_open()) are explained with them. */
void crypto_init_terse(void);
