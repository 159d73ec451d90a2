/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sim-record.h"

/* Shows the table of secrets as the guest would find it: GUIDs and sizes in the line under way, the bytes in
 * secret.bin, which only the recording user can read. */
void secret_record(SimRecord *record, const uint8_t *plain, size_t size);
