/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Is this a confidential guest, and what does it lack? Line by line with the remedy. */

#include <stdbool.h>

#include "json.h"
#include "macro.h"

typedef enum GuestState {
        GUEST_STATE_MISSING, /* needed, and not there */
        GUEST_STATE_OK,
        GUEST_STATE_OFF,     /* optional */
        GUEST_STATE_UNKNOWN, /* cannot be told, see the remedy */
        _GUEST_STATE_MAX,
        _GUEST_STATE_INVALID = -22,
} GuestState;

const char *guest_state_to_string(GuestState s); /* "FAIL", "PASS", "OFF", "SKIP" */

typedef struct GuestFinding {
        const char *name;   /* literal */
        const char *remedy; /* literal; NULL: none needed */
        GuestState state;
        bool optional;
} GuestFinding;

#define GUEST_FINDINGS_MAX 40u

typedef struct GuestFindings {
        GuestFinding list[GUEST_FINDINGS_MAX];
        size_t n;
        bool ok; /* nothing that is needed is missing */
} GuestFindings;

/* root: prefix of /dev, /proc and /sys ("" normally). */
void guest_check(const char *root, GuestFindings *ret);
_warn_unused_result_ int guest_findings_json(const GuestFindings *f, Json **ret);
