/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Replies on their way out. Each returns what libmicrohttpd's request handler is to return: MHD_NO closes the connection. */

#include <microhttpd.h>
#include <stddef.h>

#include "attestd-service.h"

enum MHD_Result server_send_reply(struct MHD_Connection *connection, const Reply *reply);
/* 413; max: in bytes. */
enum MHD_Result server_refuse_size(struct MHD_Connection *connection, size_t max);
/* 503. */
enum MHD_Result server_refuse_upload(struct MHD_Connection *connection);
