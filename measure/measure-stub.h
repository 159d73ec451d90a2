/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A unified kernel image as systemd-stub in it reads it (UAPI group, "Unified Kernel Image"; systemd-stub(7)). What a stub measures differs from release to
 * release, so that only those are known whose events were compared with real boots. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"

/* In the order in which the stub measures them; the last one is not measured. */
typedef enum StubSection {
        STUB_LINUX,
        STUB_OSREL,
        STUB_CMDLINE,
        STUB_INITRD,
        STUB_UCODE,
        STUB_SPLASH,
        STUB_UNAME,
        STUB_SBAT,
        STUB_PCRPKEY,
        STUB_PCRSIG,
        _STUB_SECTION_MAX,
} StubSection;

#define STUB_MEASURED_MAX STUB_PCRSIG

const char *stub_section_to_string(StubSection s);

/* What differs between releases. */
typedef struct StubKind {
        unsigned release;
        bool loads_image;  /* to the firmware the kernel in it is a further image, which it measures */
        bool strings;      /* it measures SMBIOS structures of types 1, 2 and 11 into RTMR0 */
        bool adds_console; /* to a command line without console=, by what the guest has */
} StubKind;

typedef struct StubPart {
        const uint8_t *data; /* borrowed from the image; NULL: absent */
        size_t size;
} StubPart;

typedef struct StubImage {
        const StubKind *kind;
        StubPart parts[_STUB_SECTION_MAX];
} StubImage;

/* 1: a unified kernel image of a known release; 0: an image that has neither a stub nor a kernel in a section, *ret is unchanged. -EOPNOTSUPP with an error
 * message for an unknown stub, or sections whose measurement is not known; -EBADMSG for sections that are not in the file. */
_warn_unused_result_ int stub_image_parse(const uint8_t *image, size_t size, StubImage *ret, char **reterr);

/* The text of .cmdline as the stub passes it on: owned. -EOPNOTSUPP with an error message for characters whose conversion was not compared. */
_warn_unused_result_ int stub_command_line(const StubPart *cmdline, char **ret, char **reterr);
