/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which level a platform has reached. */

#include "td-tcb.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "strutil.h"

static const char *const status_names[] = {
        [TD_STATUS_NOT_SUPPORTED] = "NotSupported",
        [TD_STATUS_REVOKED] = "Revoked",
        [TD_STATUS_OUT_OF_DATE_CONFIGURATION_NEEDED] = "OutOfDateConfigurationNeeded",
        [TD_STATUS_OUT_OF_DATE] = "OutOfDate",
        [TD_STATUS_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED] = "TDRelaunchAdvisedConfigurationNeeded",
        [TD_STATUS_TD_RELAUNCH_ADVISED] = "TDRelaunchAdvised",
        [TD_STATUS_CONFIGURATION_AND_SW_HARDENING_NEEDED] = "ConfigurationAndSWHardeningNeeded",
        [TD_STATUS_CONFIGURATION_NEEDED] = "ConfigurationNeeded",
        [TD_STATUS_SW_HARDENING_NEEDED] = "SWHardeningNeeded",
        [TD_STATUS_UP_TO_DATE] = "UpToDate",
};
static_assert(ELEMENTSOF(status_names) == _TD_STATUS_MAX, "every status has a name");

const char *td_status_to_string(TdStatus s) {
        return s >= 0 && s < _TD_STATUS_MAX ? status_names[s] : status_names[TD_STATUS_NOT_SUPPORTED];
}

TdStatus td_status_from_string(const char *s) {
        for (int i = 0; i < _TD_STATUS_MAX; i++)
                if (streq(s, status_names[i]))
                        return (TdStatus) i;
        return _TD_STATUS_INVALID;
}

/* The first two numbers of a TEE_TCB_SVN are those of a module: SVN, and version, 0 for modules without an identity. */
static const TdModule *module_of(const TdTcbInfo *t, const uint8_t svn[static TD_TCB_COMPONENTS]) {
        char id[8];

        if (svn[1] == 0)
                return &t->module;
        (void) snprintf(id, sizeof(id), "TDX_%02X", svn[1]);
        FOREACH_ARRAY(m, t->modules, t->n_modules)
                if (strcasecmp(m->id, id) == 0)
                        return m;
        return NULL;
}

const TdModule *td_tcb_module(const TdTcbInfo *t, const TdQuote *q) {
        return module_of(t, q->tee_tcb_svn);
}

bool td_module_fits(const TdModule *m, const TdQuote *q) {
        uint8_t masked = 0;

        for (size_t i = 0; i < sizeof(m->attributes); i++)
                masked |= (uint8_t) ((q->seam_attributes[i] & m->mask[i]) ^ m->attributes[i]);
        return masked == 0 && memcmp(m->mrsigner, q->mrsignerseam, sizeof(m->mrsigner)) == 0;
}

/* With a module that has an identity the first two numbers are the module's, which its identity judges. */
static bool reaches(const TdLevel *l, const TdPck *pck, const uint8_t svn[static TD_TCB_COMPONENTS]) {
        for (size_t i = 0; i < TD_TCB_COMPONENTS; i++)
                if (pck->svn[i] < l->svn[i])
                        return false;
        for (size_t i = svn[1] > 0 ? 2 : 0; i < TD_TCB_COMPONENTS; i++)
                if (svn[i] < l->tdx[i])
                        return false;
        return pck->pcesvn >= l->pcesvn;
}

const TdLevel *td_tcb_level(const TdTcbInfo *t, const TdPck *pck, const TdQuote *q) {
        FOREACH_ARRAY(l, t->levels.list, t->levels.n)
                if (reaches(l, pck, q->tee_tcb_svn))
                        return l;
        return NULL;
}

bool td_tcb_relaunch(const TdTcbInfo *t, const TdPck *pck, const TdQuote *q, TdStatus *ret) {
        const TdModule *m = q->td15 ? module_of(t, q->tee_tcb_svn2) : NULL;
        const TdLevel *newest = t->levels.list, *module;

        if (!m || m->levels.n == 0 || t->levels.n == 0 || !reaches(newest, pck, q->tee_tcb_svn2))
                return false;
        module = td_isvsvn_level(&m->levels, q->tee_tcb_svn2[0]);
        if (!module || module->status != TD_STATUS_UP_TO_DATE)
                return false;
        switch (newest->status) {
        case TD_STATUS_UP_TO_DATE:
        case TD_STATUS_SW_HARDENING_NEEDED:
                *ret = TD_STATUS_TD_RELAUNCH_ADVISED;
                return true;
        case TD_STATUS_CONFIGURATION_NEEDED:
        case TD_STATUS_CONFIGURATION_AND_SW_HARDENING_NEEDED:
                *ret = TD_STATUS_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED;
                return true;
        default:
                return false;
        }
}

const TdLevel *td_isvsvn_level(const TdLevels *levels, uint64_t isvsvn) {
        FOREACH_ARRAY(l, levels->list, levels->n)
                if (isvsvn >= l->isvsvn)
                        return l;
        return NULL;
}

TdStatus td_status_converge(TdStatus platform, TdStatus part) {
        if (part == TD_STATUS_UP_TO_DATE || platform == TD_STATUS_NOT_SUPPORTED ||
                        platform == TD_STATUS_REVOKED)
                return platform;
        if (part == TD_STATUS_OUT_OF_DATE)
                return platform == TD_STATUS_CONFIGURATION_NEEDED ||
                                                platform == TD_STATUS_CONFIGURATION_AND_SW_HARDENING_NEEDED ||
                                                platform == TD_STATUS_OUT_OF_DATE_CONFIGURATION_NEEDED ||
                                                platform == TD_STATUS_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED
                                ? TD_STATUS_OUT_OF_DATE_CONFIGURATION_NEEDED
                                : TD_STATUS_OUT_OF_DATE;
        /* Revoked, or a status that Intel gives to platforms only: the worse one, which stands before the other in the enum. */
        return MIN(part, platform);
}
