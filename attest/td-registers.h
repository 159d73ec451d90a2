/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* MRTD and RTMR0 to RTMR2 of one launch. They are accepted together: registers of different launches make no launch. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"
#include "td-host-credentials.h"
#include "td-policy.h"

#define TD_REGISTERS 4u

typedef struct TdRegisters {
        TdHostCredentials host_credentials;
        bool has[TD_REGISTERS];
        uint8_t values[TD_REGISTERS][48];
} TdRegisters;

/* TD_FIELD_MEASUREMENT, TD_FIELD_RTMR0 to TD_FIELD_RTMR2. */
TdField td_register_field(size_t i);

/* How many of the registers that the policy leaves unset are in the quote as this launch has them. *ret_all: how many there are. */
size_t td_registers_compare(const TdRegisters *r, const TdPolicy *p, const TdQuote *q, size_t *ret_all);
/* Makes a policy expect the launch's registers, where it leaves them unset. It borrows the values. */
void td_registers_expect(const TdRegisters *r, TdPolicy *p);
/* Does the launch keep its host's credentials out, or have them in a register? Only where it is this launch that decides about the registers which prove
 * it: `p` is the policy before td_registers_expect(). */
bool td_registers_shielded(const TdRegisters *r, const TdPolicy *p);
