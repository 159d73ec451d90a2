/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The owner's page: files of this program (ui/), for a browser. They contain nothing of the service's state; what the page shows it asks for with the
 * requests of owners. */

#include <microhttpd.h>
#include <stdbool.h>

/* Whether the path (without the prefix) is the page's. */
bool page_has(const char *path);
enum MHD_Result page_send(struct MHD_Connection *connection, const char *method, const char *path);
