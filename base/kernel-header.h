/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a Linux kernel's file says of itself in its setup header (Linux, Documentation/arch/x86/boot.rst), and its configuration. It is
 * the word of those who made the file: it is shown, and decides nothing. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define KERNEL_SETUP_MAX   (32u * 1024u) /* bytes: header and the strings that it points at */
#define KERNEL_VERSION_MAX 128u
#define KERNEL_TEXT_MAX    512u
#define KERNEL_CONFIG_MAX  ((size_t) 4 * 1024 * 1024)

typedef struct KernelHeader {
        bool bzimage;                           /* "HdrS" is where it belongs: QEMU adds kernel hashes */
        bool efi_stub;                          /* begins as a PE file does */
        bool long_mode;                         /* 64-bit */
        uint8_t protocol_major, protocol_minor; /* of the boot protocol */
        char full[KERNEL_TEXT_MAX +
                        1]; /* "6.1.0-56-cloud-amd64 (debian-kernel@...) #1"; "": none; printable ASCII */
        char version[KERNEL_VERSION_MAX + 1]; /* the same up to its first blank */
} KernelHeader;

/* setup: the first `size` bytes of the file, KERNEL_SETUP_MAX of them or all that it has. */
void kernel_header_read(const uint8_t *setup, size_t size, KernelHeader *ret);
/* "6.1.0-9" is older than 6.7; false, too, where the version does not begin with two numbers. */
bool kernel_older(const char *version, unsigned major, unsigned minor);
/* Too old for an SEV-SNP guest. */
bool kernel_before_snp(const char *version);
/* "y", "m" or "n": the value of an option such as "CONFIG_SEV_GUEST" in a configuration's text. */
const char *kernel_config_value(const char *text, const char *option);
/* The configuration of the kernel at this path, as distributions put it: config-VERSION beside it. 0 with NULL: none could be read. -ENOMEM.
 * ret: owned. */
_warn_unused_result_ int kernel_config_beside(const char *path, const char *version, char **ret);
