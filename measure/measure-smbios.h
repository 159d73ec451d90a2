/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The SMBIOS tables as edk2 measures them (MdeModulePkg/Universal/SmbiosMeasurementDxe, since 202505): without what differs from machine to machine,
 * and with the firmware's own type 0 (OvmfPkg/SmbiosPlatformDxe) where QEMU gives none. */

#include <stddef.h>
#include <stdint.h>

#include "crypto-hash.h"

/* `tables` is QEMU's fw_cfg file etc/smbios/smbios-tables; bios: "VENDOR,VERSION,DATE" of the firmware, or NULL. */
_warn_unused_result_ int smbios_digest(const uint8_t *tables, size_t size, const char *bios,
                uint8_t ret[static SHA384_SIZE], char **reterr);

/* One structure after the other: 1 with its type and bytes, its strings included (borrowed from the tables); 0 at the end; -EBADMSG with an error
 * message. *at begins with 0. */
_warn_unused_result_ int smbios_next(const uint8_t *tables, size_t size, size_t *at, const uint8_t **ret,
                size_t *ret_size, char **reterr);
