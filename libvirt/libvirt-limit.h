/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to this room: an end for calls of libvirt that do not return. libvirt's client waits for its daemon without a limit, and
 * what it waits in cannot be interrupted, so that the program ends. */

#include <stdint.h>

/* Before the call and after it. While it lasts longer than the limit, a sentence that names the call is written to standard error
 * and the process ends with the status of libvirt_set_limit(). Calls do not nest. */
void libvirt_limit_begin(const char *name);
void libvirt_limit_end(void);
