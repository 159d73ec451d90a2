/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --session: the session blob holds HMAC(TIK, policy), so it tells with certainty whether keys and policy belong to it. The
 * manual's list of common mistakes begins with exactly these. */

#include <string.h>

#include "attest-session.h"
#include "fd.h"
#include "validate.h"

#define SESSION_FILE_SIZE_MAX (16u * 1024) /* 172 characters and line ends */

static int report(Validate *v, SessionMatch match, uint32_t made_for) {
        switch (match) {
        case SESSION_MATCHES:
                return 0;
        case SESSION_KEYS_SWAPPED:
                return validate_fail(v, VALIDATE_UNSUPPORTED,
                                "TIK and TEK are swapped: the key given as TEK is the TIK of the session");
        case SESSION_OTHER_POLICY:
                return validate_fail(v, VALIDATE_UNSUPPORTED,
                                "The session was made for policy %u (0x%x), not for policy %u (0x%x)",
                                made_for, made_for, (uint32_t) v->args.policy.low,
                                (uint32_t) v->args.policy.low);
        default:
                return validate_fail(v, VALIDATE_UNSUPPORTED,
                                "TIK and TEK do not belong to the session: take the pair that was made "
                                "together with it");
        }
}

int validate_check_session(Validate *v) {
        uint8_t blob[SEV_SESSION_SIZE];
        _cleanup_free_ char *text = NULL, *error = NULL;
        const char *where = v->args.session ?: "the domain's configuration";
        SessionMatch match = SESSION_UNCHECKED;
        const ValidateInt *policy = &v->args.policy;
        uint32_t made_for = 0;
        bool binary = false;
        size_t size;
        int r;

        if (!v->args.session && !v->session)
                return 0;
        if (v->args.session) {
                r = file_read_all(v->args.session, SESSION_FILE_SIZE_MAX, &text, &size);
                if (r < 0)
                        return validate_fail_file(v, r, v->args.session);
        }
        r = sev_session_read(text ?: v->session, text ? size : strlen(v->session), blob, &binary, &error);
        if (r < 0)
                return validate_fail(
                                v, VALIDATE_UNSUPPORTED, "Session in %s: %s", where, error ?: "unreadable");
        if (binary && !v->args.quiet)
                validate_note(v, "the session in %s is binary: QEMU and libvirt want it as base64 text",
                                where);
        if (policy->negative || policy->big || policy->low > UINT32_MAX)
                return 0; /* told later, as always */
        if (sev_session_match(blob, validate_keys(v), (uint32_t) policy->low, &match, &made_for) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        return report(v, match, made_for);
}
