/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The measurement registers of a TD and its event log, as Linux shows them (Documentation/ABI/testing/sysfs-devices-virtual-misc-tdx_guest and
 * sysfs-firmware-acpi). RTMR0 and RTMR1 are extended by the firmware, RTMR2 by the boot; RTMR3 is for programs. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define GUEST_REGISTER_SIZE  48u
#define GUEST_REGISTERS      5u /* MRTD, RTMR0 to RTMR3 */
#define GUEST_EXTENDED_FIRST 2u
#define GUEST_EXTENDED_LAST  3u
#define GUEST_LOG_SIZE_MAX   (1024u * 1024u)

/* "mrtd", "rtmr0" to "rtmr3" */
const char *guest_register_name(unsigned i);

/* `root` is put in front of /sys. */
_warn_unused_result_ int guest_register_read(
                const char *root, unsigned i, uint8_t ret[static GUEST_REGISTER_SIZE], char **reterr);
/* RTMR2 or RTMR3: the register becomes SHA-384(register || digest), until the guest ends. */
_warn_unused_result_ int guest_register_extend(const char *root, unsigned rtmr,
                const uint8_t digest[static GUEST_REGISTER_SIZE], char **reterr);
/* The event log with the unused rest of its area, owned by the caller. */
_warn_unused_result_ int guest_event_log_read(const char *root, char **ret, size_t *ret_size, char **reterr);
