/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Initdata: a TOML document that the host hands to the guest's agent, and whose digest is the host data of an SEV-SNP guest. Facts: Kata
 * Containers 4.1 (src/libs/kata-types/src/initdata.rs; src/runtime/pkg/oci/utils.go; pkg/govmm/qemu/qemu.go). No launch digest covers it. */

#include <stddef.h>

#include "macro.h"

/* The annotation of a pod that has it, as base64 of the gzip'ed document. */
#define KATA_INITDATA_ANNOTATION "io.katacontainers.config.hypervisor.cc_init_data"

/* Host data of the document, base64, owned: its digest by the algorithm that it names, cut to 32 bytes. -EINVAL with an error message. */
_warn_unused_result_ int kata_initdata_read(const char *text, size_t size, char **ret, char **reterr);
/* The same of a file. */
_warn_unused_result_ int kata_initdata_file(const char *path, char **ret, char **reterr);
