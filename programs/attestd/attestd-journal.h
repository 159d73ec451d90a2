/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Messages of the service with fields, for systemd's journal, where standard error goes there (JOURNAL_STREAM); else one line of text, as log.h writes it.
 * Never a secret, a token or what a request contained. */

#include "log.h"

/* What happened, as journalctl MESSAGE_ID=... finds it; cvmspawn-attestd(8) lists them. */
#define MESSAGE_LISTENS       "7a3b874b53894ddfb68bfb299183adba"
#define MESSAGE_FAILED        "bbe82732a69d478a82b5608b36c52850"
#define MESSAGE_RELOADED      "5757d5feed674e2db426644b2bd5d58b"
#define MESSAGE_NOT_RELOADED  "19e5efee7594409582aae76107a193b3"
#define MESSAGE_ENDS          "dadeb75194cc42039cbc5d3de04b789f"
#define MESSAGE_TRUSTS_OTHERS "c76a40cb604d4927abb951e7bd7d8044"

typedef struct JournalFields {
        const char *id;     /* MESSAGE_ID */
        const char *method; /* of a request; NULL: none */
        const char *path;   /* of the request */
        int error;          /* -errno; 0: none */
} JournalFields;

/* Before anything is given up. */
void journal_open(void);
void journal_log(LogLevel level, const JournalFields *fields, const char *format, ...) _printf_(3, 4);
