/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of cvmspawn-guest share. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest-device.h"
#include "options.h"

typedef struct GuestArguments {
        char *bind, *report_data, *certs, *interface, *vmpl;
        bool with_certs, help;
        OptionJson json;
        char *root_key, *mix, *output, *device, *tsm, *secrets, *root;
        unsigned guest_svn;
        uint64_t tcb, launch_mit_vector;
} GuestArguments;

_warn_unused_result_ int guest_parse_vmpl(const char *s, uint32_t *ret, char **reterr);
/* To the file, whole or not at all, or to standard output if path is NULL. */
_warn_unused_result_ int guest_write(const char *path, const void *p, size_t n, mode_t mode, char **reterr);
_warn_unused_result_ int guest_get_report(const GuestArguments *a,
                const uint8_t data[static GUEST_REPORT_DATA], uint32_t vmpl, GuestReport *ret,
                char **reterr);
/* Commands for TDs. What follows "rtmr" may be NULL. */
_warn_unused_result_ int guest_rtmr(const GuestArguments *a, char **words, char **reterr);
_warn_unused_result_ int guest_ccel(const GuestArguments *a, char **reterr);
/* argv[0] is "snpguest". */
int guest_snpguest(int argc, char **argv, char **reterr);
