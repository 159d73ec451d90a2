/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where an image for SEV guests comes from, for messages: no package of Debian 12 or 13 has it, Debian sid has ovmf-amdsev. */
#define AMDSEV_SOURCE                                                                                       \
        "an OVMF built from OvmfPkg/AmdSev (package ovmf-amdsev of Debian sid, or what "                    \
        "'tools/fetch-artifacts' in cvmspawn's source fetches)"
/* The same for TDX guests. */
#define TDX_FIRMWARE_SOURCE "an OVMF built from OvmfPkg/IntelTdx (package ovmf-inteltdx of Debian sid)"
#define GET_FIRMWARE        "use " AMDSEV_SOURCE " and name it with --firmware="
