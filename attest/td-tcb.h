/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Intel's statements about TCB levels, as JSON: TCB info (of a kind of processor and of TDX modules) and the identity of the quoting enclave (Intel SGX and TDX
 * Provisioning Certification Service API, version 4). What is read here was verified before, or is worth nothing. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"
#include "td-pck.h"
#include "td-quote.h"

#define TD_TCB_LEVELS_MAX 64u /* Intel's have up to 20 */
#define TD_MODULES_MAX    32u
#define TD_ADVISORIES_MAX 256u

/* Not in an order: which ones a policy accepts it says by name. The zero value is accepted by none. */
typedef enum TdStatus {
        TD_STATUS_NOT_SUPPORTED, /* no level of the TCB info is reached */
        TD_STATUS_REVOKED,
        TD_STATUS_OUT_OF_DATE_CONFIGURATION_NEEDED,
        TD_STATUS_OUT_OF_DATE,
        TD_STATUS_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED, /* these two are computed, no level has them */
        TD_STATUS_TD_RELAUNCH_ADVISED, /* the platform is up to date by now, the TD was launched before */
        TD_STATUS_CONFIGURATION_AND_SW_HARDENING_NEEDED,
        TD_STATUS_CONFIGURATION_NEEDED,
        TD_STATUS_SW_HARDENING_NEEDED,
        TD_STATUS_UP_TO_DATE,
        _TD_STATUS_MAX,
        _TD_STATUS_INVALID = -22,
} TdStatus;

#define TD_STATUS_NAMES                                                                                     \
        "UpToDate SWHardeningNeeded ConfigurationNeeded ConfigurationAndSWHardeningNeeded OutOfDate"        \
        " OutOfDateConfigurationNeeded TDRelaunchAdvised TDRelaunchAdvisedConfigurationNeeded" /* those that a policy may accept */

const char *td_status_to_string(TdStatus s); /* Intel's word: "UpToDate" */
TdStatus td_status_from_string(const char *s);

typedef struct TdLevel {
        uint64_t svn[TD_TCB_COMPONENTS], pcesvn, tdx[TD_TCB_COMPONENTS]; /* of TCB info */
        uint64_t isvsvn;                                                 /* of a module or an enclave */
        TdStatus status;
        char date[32];
        char **advisories; /* owned */
} TdLevel;

typedef struct TdLevels {
        TdLevel *list; /* owned; the first that is reached counts */
        size_t n;
} TdLevels;

typedef struct TdModule {
        char id[16]; /* "TDX_03"; empty: the one for modules without an identity */
        uint8_t mrsigner[48], attributes[8], mask[8];
        TdLevels levels;
} TdModule;

typedef struct TdTcbInfo {
        int64_t issued, next;
        uint64_t evaluation;
        uint8_t fmspc[TD_FMSPC_SIZE], pceid[TD_PCEID_SIZE];
        TdModule module;   /* without levels */
        TdModule *modules; /* owned */
        size_t n_modules;
        TdLevels levels;
} TdTcbInfo;

typedef struct TdQeIdentity {
        int64_t issued, next;
        uint64_t evaluation;
        uint8_t miscselect[4], miscselect_mask[4], attributes[16], attributes_mask[16], mrsigner[32];
        uint64_t isvprodid;
        TdLevels levels;
} TdQeIdentity;

void td_tcb_info_done(TdTcbInfo *t);
void td_qe_identity_done(TdQeIdentity *q);

/* -EBADMSG with an error message that names the member. Members that are not known here are ignored: Intel adds some. */
_warn_unused_result_ int td_tcb_info_read(const char *text, size_t size, TdTcbInfo *ret, char **reterr);
_warn_unused_result_ int td_qe_identity_read(
                const char *text, size_t size, TdQeIdentity *ret, char **reterr);

/* The identity for the module that the quote names; NULL: there is none. */
const TdModule *td_tcb_module(const TdTcbInfo *t, const TdQuote *q);
bool td_module_fits(const TdModule *m, const TdQuote *q);

/* The levels that are reached; NULL: none. */
const TdLevel *td_tcb_level(const TdTcbInfo *t, const TdPck *pck, const TdQuote *q);
/* Would a TD 1.5 that was launched now, with TEE_TCB_SVN2, be up to date on this platform? Then *ret is its status. */
bool td_tcb_relaunch(const TdTcbInfo *t, const TdPck *pck, const TdQuote *q, TdStatus *ret);
const TdLevel *td_isvsvn_level(const TdLevels *levels, uint64_t isvsvn);
/* A platform's status and that of a part (module, quoting enclave) in one. */
TdStatus td_status_converge(TdStatus platform, TdStatus part);
