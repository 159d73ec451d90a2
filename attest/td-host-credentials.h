/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What becomes of credentials that the host adds to a TD which it boots: systemd in it ignores them, a register shows them, or neither. */
typedef enum TdHostCredentials {
        TD_HOST_CREDENTIALS_UNKNOWN,
        TD_HOST_CREDENTIALS_IMPORTED,
        TD_HOST_CREDENTIALS_RTMR0,
        TD_HOST_CREDENTIALS_IGNORED,
        _TD_HOST_CREDENTIALS_MAX,
        _TD_HOST_CREDENTIALS_INVALID = -22,
} TdHostCredentials;

const char *td_host_credentials_to_string(
                TdHostCredentials c); /* "unknown", "imported", "rtmr0", "ignored" */
TdHostCredentials td_host_credentials_from_string(const char *s);
