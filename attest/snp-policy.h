/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the guest's owner asks of an authentic report. Every rule has three states: UNSET (an error: nobody decided), ANY (waived, and
 * listed as such in the result) and SET. snp_policy_init() leaves only measurement and report data unset: those two
 * bind the report to a guest and to a conversation, and are given or waived by a long name. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "macro.h"
#include "snp-report.h"
#include "snp-verify.h"

#define SNP_POLICY_VALUES_MAX 4096u /* accepted values of one field: a reference table may be long */

typedef enum SnpRule {
        SNP_RULE_UNSET,
        SNP_RULE_ANY,
        SNP_RULE_SET,
} SnpRule;

typedef enum SnpBytesField {
        SNP_FIELD_MEASUREMENT,
        SNP_FIELD_REPORT_DATA,
        SNP_FIELD_HOST_DATA,
        SNP_FIELD_FAMILY_ID,
        SNP_FIELD_IMAGE_ID,
        SNP_FIELD_ID_KEY_DIGEST,
        SNP_FIELD_AUTHOR_KEY_DIGEST,
        SNP_FIELD_REPORT_ID,
        SNP_FIELD_REPORT_ID_MA,
        SNP_FIELD_CHIP_ID,
        _SNP_FIELD_MAX,
        _SNP_FIELD_INVALID = -22,
} SnpBytesField;

/* The field equals one of the values. */
typedef struct SnpBytesRule {
        SnpRule rule;
        uint8_t *values; /* owned: n_values times snp_field_size() bytes */
        size_t n_values;
        const char *elsewhere; /* weak: where the caller looks for more values itself; NULL: nowhere */
} SnpBytesRule;

/* A number: the least, the mask or the exact value, as the field says. */
typedef struct SnpNumberRule {
        SnpRule rule;
        uint64_t value;
} SnpNumberRule;

typedef struct SnpTcbRule {
        SnpRule rule; /* SET: each generation that the report may come from needs a row */
        SnpTcb minimum[_SNP_GENERATION_MAX];
        bool given[_SNP_GENERATION_MAX];
} SnpTcbRule;

typedef struct SnpPolicy {
        SnpBytesRule bytes[_SNP_FIELD_MAX];
        SnpNumberRule vmpl; /* exact; 0 by default */
        SnpNumberRule guest_policy; /* as check.proto: the most that may be allowed, the least that must be required */
        bool allow_debug;           /* POLICY.DEBUG, whatever guest_policy says */
        SnpNumberRule minimum_guest_svn;
        SnpTcbRule minimum_tcb; /* REPORTED_TCB, and so the leaf's */
        SnpTcbRule minimum_launch_tcb;
        SnpNumberRule minimum_version; /* of the firmware: major << 8 | minor */
        SnpNumberRule minimum_build;
        bool permit_provisional_firmware; /* CURRENT newer than COMMITTED; true by default: clouds run so */
        SnpNumberRule platform_mask;      /* bits of PLATFORM_INFO to look at... */
        uint64_t platform_value;          /* ...and what they must be */
        SnpNumberRule launch_mitigations; /* bits that must be set */
        SnpNumberRule current_mitigations;
        SnpNumberRule maximum_report_version; /* 5 by default */
        bool require_id_block, require_author_key;
        bool require_chip_id;       /* CHIP_ID not masked, and so compared with the leaf's */
        bool allow_migration_agent; /* POLICY.MIGRATE_MA, REPORT_ID_MA of an agent */
        SnpNumberRule products;     /* SET: a bit mask of 1 << SnpGeneration */
        SnpRule csp_rule;
        char **csp_ids;      /* owned: accepted cspIDs of VLEKs */
        char **acknowledged; /* owned: names of advisories (snp-advisory.h) that need not be said again */
} SnpPolicy;

void snp_policy_init(SnpPolicy *p);
void snp_policy_done(SnpPolicy *p);

size_t snp_field_size(SnpBytesField f);
const uint8_t *snp_field_bytes(const SnpReport *r, SnpBytesField f); /* borrowed from r */
const char *snp_field_to_string(
                SnpBytesField f); /* as in the policy file: "measurement", "trusted_id_key_hashes"... */
SnpBytesField snp_field_from_string(const char *s);

/* One more accepted value, of exactly the field's size. */
_warn_unused_result_ int snp_policy_accept(
                SnpPolicy *p, SnpBytesField f, const uint8_t *value, char **reterr);
/* More values are where the caller looks for them before it judges, such as in a bundle: a rule without other values accepts none until then. `where`
 * is borrowed, and stands in violations. */
_warn_unused_result_ int snp_policy_expect_elsewhere(
                SnpPolicy *p, SnpBytesField f, const char *where, char **reterr);
/* Any measurement: the report can come from any guest on the machine. */
void snp_policy_accept_any_measurement_acknowledging_forgery(SnpPolicy *p);
/* Any report data: the report can be an old one, or be about somebody else's key. */
void snp_policy_accept_any_report_data_acknowledging_replay(SnpPolicy *p);

/* The policy file (share/cvmspawn/snp-policy.schema.json): the field names of go-sev-guest's check.proto as JSON, bytes in hex. It changes the
 * rules that it names and keeps the others. -EINVAL with an error message that names the member. */
_warn_unused_result_ int snp_policy_read(const Json *j, SnpPolicy *p, char **reterr);

/* -EINVAL with an error message if a rule is unset: nobody decided about it. */
_warn_unused_result_ int snp_policy_decided(const SnpPolicy *p, char **reterr);

/* Judges an authentic result: sets its verdict to VERIFIED, or POLICY_NOT_MET with every violation in *ret. -EINVAL with an error message if
 * a rule is unset, or if the result is not authentic: then there is nothing to judge. */
_warn_unused_result_ int snp_policy_judge(
                const SnpPolicy *p, SnpResult *result, Violations *ret, char **reterr);
/* The names of the rules that are waived, as a JSON array. */
_warn_unused_result_ int snp_policy_waived(const SnpPolicy *p, Json **ret);
