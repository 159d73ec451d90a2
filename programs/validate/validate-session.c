/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --session: the session blob holds HMAC(TIK, policy), so it tells with certainty whether keys and policy belong to it. The
 * manual's list of common mistakes begins with exactly these. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attest-session.h"
#include "fd.h"
#include "validate.h"

#define SESSION_FILE_SIZE_MAX (16u * 1024) /* 172 characters and line ends */

/* What is wrong, as a sentence; NULL: nothing. */
static int judge(SessionMatch match, uint32_t made_for, uint32_t policy, char **ret) {
        int r = 0;

        *ret = NULL;
        switch (match) {
        case SESSION_MATCHES:
                return 0;
        case SESSION_KEYS_SWAPPED:
                *ret = strdup("TIK and TEK are swapped: the key given as TEK is the TIK of the session");
                break;
        case SESSION_OTHER_POLICY:
                r = asprintf(ret, "The session was made for policy %u (0x%x), not for policy %u (0x%x)",
                                made_for, made_for, policy, policy);
                break;
        default:
                *ret = strdup("TIK and TEK do not belong to the session: take the pair that was made together with it");
        }
        return r < 0 || !*ret ? -ENOMEM : 0;
}

/* *ret_problem is owned; NULL: keys and policy belong to the session. */
static int check(const Validate *v, const void *data, size_t size, bool *ret_binary, char **ret_problem) {
        uint8_t blob[SEV_SESSION_SIZE];
        SessionMatch match = SESSION_UNCHECKED;
        const ValidateInt *policy = &v->args.policy;
        uint32_t made_for = 0;
        int r;

        *ret_problem = NULL;
        r = sev_session_read(data, size, blob, ret_binary, ret_problem);
        if (r == -EBADMSG && *ret_problem)
                return 0;
        if (r < 0)
                return r;
        if (policy->negative || policy->big || policy->low > UINT32_MAX)
                return 0; /* refused later, as always */
        r = sev_session_match(blob, validate_keys(v), (uint32_t) policy->low, &match, &made_for);
        return r < 0 ? r : judge(match, made_for, (uint32_t) policy->low, ret_problem);
}

int validate_check_session(Validate *v) {
        _cleanup_free_ char *text = NULL, *problem = NULL;
        bool binary = false;
        size_t size;
        int r;

        if (!v->args.session)
                return 0;
        r = file_read_all(v->args.session, SESSION_FILE_SIZE_MAX, &text, &size);
        if (r < 0)
                return validate_fail_file(v, r, v->args.session);
        r = check(v, text, size, &binary, &problem);
        if (r < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        if (binary)
                validate_note(v, "the session in %s is binary: QEMU and libvirt want it as base64 text",
                                v->args.session);
        return problem ? validate_fail(v, VALIDATE_UNSUPPORTED, "%s", problem) : 0;
}

void validate_note_session(const Validate *v) {
        _cleanup_free_ char *problem = NULL;
        bool binary = false;

        if (v->session && check(v, v->session, strlen(v->session), &binary, &problem) >= 0 && problem)
                validate_note(v, "the session in the domain's configuration: %s", problem);
}
