/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One question to the service, asked as often as waiting may help. */

#include "guest-attest-ask.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "error.h"
#include "log.h"
#include "strutil.h"

#define RETRY_SECONDS 5u /* where the service does not say */
#define DETAIL_MAX    500u

char *attest_detail(const Json *j) {
        char *s = strndup(js_string_value(js_get(j, "detail")) ?: "it does not say why", DETAIL_MAX);

        for (char *p = s; p && *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        *p = ' ';
        return s;
}

static bool worth_repeating(const GuestAnswer *a) {
        switch (a->status) {
        case 202: /* held for the owner */
        case 429:
        case 502: /* the relay or a proxy did not reach the service */
        case 503:
        case 504:
                return true;
        case 424: /* the service fetches a certificate */
                return a->retry_after > 0;
        default:
                return false;
        }
}

static void pause_seconds(unsigned seconds) {
        for (; seconds > 0; seconds--)
                (void) poll(NULL, 0, 1000);
}

int attest_ask(GuestPort *port, const char *verb, const Json *body, Json **ret, char **reterr) {
        _cleanup_free_ char *text = js_text(body, JS_SHORT), *last = NULL;

        if (!text)
                return -ENOMEM;
        for (;;) {
                _cleanup_(guest_answer_done) GuestAnswer a = {};
                _cleanup_free_ char *why = NULL;
                _cleanup_js_ Json *j = NULL;
                unsigned seconds;
                int r = guest_port_ask(port, verb, text, strlen(text), &a);

                if (r >= 0)
                        r = js_parse(a.body, a.size, &j, NULL);
                if (r == -EBADMSG) { /* the host's doing */
                        a.status = 502;
                        r = 0;
                }
                if (r < 0) {
                        return error_set(reterr, r, "%s: no answer through the port: %s%s%s", verb,
                                        strerror(-r), last ? "; before that: " : "", last ?: "");
                }
                if (!worth_repeating(&a)) {
                        *ret = TAKE_PTR(j);
                        return (int) a.status;
                }
                seconds = a.retry_after
                                ?: RETRY_SECONDS; /* as it was sent: who asks earlier is refused again */
                why = attest_detail(j);
                if (!why)
                        return -ENOMEM;
                if (!last || !streq(last, why))
                        log_notice("%s: status %u, asking again every %u s: %s", verb, a.status, seconds,
                                        why);
                free(last);
                last = TAKE_PTR(why);
                if (guest_port_now() + seconds * UINT64_C(1000000) >= port->deadline) {
                        return error_set(reterr, -ETIMEDOUT,
                                        "%s: status %u, and the next attempt, in %u s, would come after the time of --timeout=: %s",
                                        verb, a.status, seconds, last);
                }
                pause_seconds(seconds);
        }
}
