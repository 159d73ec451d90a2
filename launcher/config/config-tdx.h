/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Values of a TD's options that consist of parts. */

#include "config.h"

/* The next of --expect='s digests, which are separated by commas; *p begins as c->expect. False: there are no more. */
typedef struct Expectation {
        char name[8]; /* "mrtd", "rtmr0"; empty: the launch digest */
        const char *digest;
        size_t size; /* digits */
} Expectation;
bool vm_config_expect_next(const char **p, Expectation *ret);
/* 1 if this place of the quoting service is "vsock:CID:PORT", 0 if it is something else, -EINVAL. */
int vm_config_quote_vsock(const char *where, uint32_t *ret_cid, uint32_t *ret_port);
