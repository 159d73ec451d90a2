/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "td-host-credentials.h"

#include <assert.h>

#include "macro.h"
#include "strutil.h"

static const char *const host_credentials[] = {
        [TD_HOST_CREDENTIALS_UNKNOWN] = "unknown",
        [TD_HOST_CREDENTIALS_IMPORTED] = "imported",
        [TD_HOST_CREDENTIALS_RTMR0] = "rtmr0",
        [TD_HOST_CREDENTIALS_IGNORED] = "ignored",
};
static_assert(ELEMENTSOF(host_credentials) == _TD_HOST_CREDENTIALS_MAX, "every state has a name");

const char *td_host_credentials_to_string(TdHostCredentials c) {
        return host_credentials[c];
}

TdHostCredentials td_host_credentials_from_string(const char *s) {
        for (int i = 0; i < _TD_HOST_CREDENTIALS_MAX; i++)
                if (streq(s, host_credentials[i]))
                        return (TdHostCredentials) i;
        return _TD_HOST_CREDENTIALS_INVALID;
}
