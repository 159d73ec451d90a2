/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "td-registers.h"

#include <assert.h>
#include <string.h>

static const TdField fields[] = { TD_FIELD_MEASUREMENT, TD_FIELD_RTMR0, TD_FIELD_RTMR1, TD_FIELD_RTMR2 };
static_assert(ELEMENTSOF(fields) == TD_REGISTERS, "every register has a field");

static bool decides(const TdRegisters *r, const TdPolicy *p, TdField f) {
        for (size_t i = 0; i < TD_REGISTERS; i++)
                if (fields[i] == f)
                        return r->has[i] && p->bytes[f].rule == SNP_RULE_UNSET;
        return false;
}

bool td_registers_shielded(const TdRegisters *r, const TdPolicy *p) {
        if (!decides(r, p, TD_FIELD_RTMR2))
                return false;
        return r->host_credentials == TD_HOST_CREDENTIALS_IGNORED ||
                        (r->host_credentials == TD_HOST_CREDENTIALS_RTMR0 && decides(r, p, TD_FIELD_RTMR0));
}

TdField td_register_field(size_t i) {
        assert(i < TD_REGISTERS);
        return fields[i];
}

size_t td_registers_compare(const TdRegisters *r, const TdPolicy *p, const TdQuote *q, size_t *ret_all) {
        size_t same = 0;

        *ret_all = 0;
        for (size_t i = 0; i < TD_REGISTERS; i++) {
                if (p->bytes[fields[i]].rule != SNP_RULE_UNSET || !r->has[i])
                        continue;
                (*ret_all)++;
                same += memcmp(r->values[i], td_field_bytes(q, fields[i]), sizeof(r->values[i])) == 0;
        }
        return same;
}

void td_registers_expect(const TdRegisters *r, TdPolicy *p) {
        for (size_t i = 0; i < TD_REGISTERS; i++) {
                SnpBytesRule *rule = p->bytes + fields[i];

                /* Nobody writes to values through a rule. */
                if (rule->rule == SNP_RULE_UNSET && r->has[i])
                        *rule = (SnpBytesRule) {
                                .rule = SNP_RULE_SET, .values = (uint8_t *) r->values[i], .n_values = 1
                        };
        }
}
