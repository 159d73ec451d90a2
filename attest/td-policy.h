/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the guest's owner asks of an authentic quote. Rules have the three states of snp-policy.h. td_policy_init() leaves unset what binds the quote to a guest and to
 * a conversation: MRTD, RTMR0 to RTMR2 (MRTD covers the firmware only; ACPI tables, kernel, command line and initrd are in these), report data. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "macro.h"
#include "snp-policy.h"
#include "td-verify.h"

typedef enum TdField {
        TD_FIELD_MEASUREMENT, /* MRTD */
        TD_FIELD_RTMR0,
        TD_FIELD_RTMR1,
        TD_FIELD_RTMR2,
        TD_FIELD_REPORT_DATA,
        TD_FIELD_RTMR3,
        TD_FIELD_MRCONFIGID,
        TD_FIELD_MROWNER,
        TD_FIELD_MROWNERCONFIG,
        TD_FIELD_MRSEAM,
        _TD_FIELD_MAX,
        _TD_FIELD_INVALID = -22,
} TdField;

#define TD_XFAM_MAX 16u

typedef struct TdPolicy {
        SnpBytesRule bytes[_TD_FIELD_MAX];
        uint64_t xfam[TD_XFAM_MAX]; /* accepted values */
        size_t n_xfam;              /* 0: any */
        unsigned statuses;          /* a bit mask of 1 << TdStatus; UpToDate by default */
        uint64_t evaluation;  /* the least tcbEvaluationDataNumber of TCB info and QE identity; 0: any */
        bool allow_debug;     /* TDATTRIBUTES.DEBUG */
        bool allow_migration; /* TDATTRIBUTES.MIGRATABLE */
        bool allow_host_credentials; /* a launch that td_registers_shielded() does not hold for */
        bool unshielded;             /* such a launch it is: set by who has found it */
} TdPolicy;

void td_policy_init(TdPolicy *p);
void td_policy_done(TdPolicy *p);

size_t td_field_size(TdField f);
const uint8_t *td_field_bytes(const TdQuote *q, TdField f); /* borrowed from q */
const char *td_field_to_string(TdField f); /* as in the policy file: "measurement", "rtmr0"... */
TdField td_field_from_string(const char *s);

/* One more accepted value, of exactly the field's size. */
_warn_unused_result_ int td_policy_accept(TdPolicy *p, TdField f, const uint8_t *value, char **reterr);
/* Any value of a field that is not the measurement or the report data. */
_warn_unused_result_ int td_policy_waive(TdPolicy *p, TdField f, char **reterr);
/* As in snp-policy.h. Any measurement: any MRTD and any RTMR. */
void td_policy_accept_any_measurement_acknowledging_forgery(TdPolicy *p);
void td_policy_accept_any_report_data_acknowledging_replay(TdPolicy *p);
/* One more accepted XFAM, the extended features of the CPU that the TD has, as "0x602e7"; or "any". */
_warn_unused_result_ int td_policy_accept_xfam(TdPolicy *p, const char *text, char **reterr);
/* One more accepted status: one of TD_STATUS_NAMES. */
_warn_unused_result_ int td_policy_accept_status(TdPolicy *p, const char *status, char **reterr);

/* The policy file (share/cvmspawn/tdx-policy.schema.json). It changes the rules that it names and keeps the others. */
_warn_unused_result_ int td_policy_read(const Json *j, TdPolicy *p, char **reterr);

/* -EINVAL with an error message if a rule is unset: nobody decided about it. */
_warn_unused_result_ int td_policy_decided(const TdPolicy *p, char **reterr);
/* Judges an authentic result, as snp_policy_judge(). */
_warn_unused_result_ int td_policy_judge(
                const TdPolicy *p, TdResult *result, Violations *ret, char **reterr);
/* The names of what is not checked, as a JSON array. */
_warn_unused_result_ int td_policy_waived(const TdPolicy *p, Json **ret);
