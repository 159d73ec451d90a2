/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The first bytes of a TLS connection: a ClientHello (RFC 8446 section 4.1.2), of which only the server's name (RFC 6066 section 3) is read. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define TUNNEL_HELLO_MAX                                                                                    \
        (16u * 1024)         /* with record headers: those of today's clients have some 2000 bytes */
#define TUNNEL_NAME_MAX 253u /* RFC 1035 */

/* 1: *ret_name is the server's name in lower case, "" if there is none; 0: more bytes are needed; -EBADMSG: it is not a ClientHello. */
_warn_unused_result_ int tunnel_hello_read(
                const uint8_t *data, size_t size, char ret_name[static TUNNEL_NAME_MAX + 1]);
