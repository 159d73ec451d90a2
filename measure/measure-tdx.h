/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The launch digest of a TD, MRTD.
 *
 * Theory of operation. It is SHA-384 of a stream (Intel 348549, "TD Measurement"): each page that KVM adds contributes 128 bytes
 * "MEM.PAGE.ADD", its address and zeros; each 256 bytes of a page whose section has the attribute MR.EXTEND 128 bytes "MR.EXTEND",
 * their address and zeros, and the bytes themselves. Sections are taken in table order. Linux since 6.16 adds a page and
 * extends it before the next one; kernels with TDX patches before added all pages of a section first ("two passes"). */

#include "measure-launch.h"
#include "tdvf-metadata.h"

/* For the table of measure-launch.c. The image must have its bytes. */
_warn_unused_result_ int tdx_digest(const FirmwareImage *firmware, const LaunchSpec *spec, LaunchTrace trace,
                void *userdata, LaunchDigest *ret, char **reterr);

/* What its TDX metadata say, with an error message where it has none. */
_warn_unused_result_ int tdx_firmware_sections(const FirmwareImage *firmware, TdvfInfo *ret, char **reterr);

#define TDX_PAGE_ORDERS "single-pass two-pass"
const char *tdx_page_order_to_string(bool two_pass);
_warn_unused_result_ int tdx_page_order_from_string(
                const char *s, bool *ret_two_pass); /* -EINVAL: neither */
