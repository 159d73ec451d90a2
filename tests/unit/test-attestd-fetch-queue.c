/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who may have certificates fetched, and when: strangers with invented chips keep nobody waiting. */

#include <stdio.h>

#include "test.h"

#include "attestd-fetch-queue.h"

static FetchDecision ask(FetchQueue *q, const char *what, const char *peer, int64_t now) {
        unsigned seconds = 0;
        FetchDecision d = fetch_queue_ask(q, what, peer, now, &seconds);

        assert_true(d == FETCH_UNAVAILABLE || (seconds > 0 && seconds <= FETCH_LATER_MAX));
        return d;
}

static void once(_unused_ void **state) {
        static FetchQueue q;

        assert_int_equal(ask(&q, "aa", "192.0.2.1", 1000), FETCH_SEND);
        assert_int_equal(ask(&q, "aa", "192.0.2.1", 1000), FETCH_WAIT);
        assert_int_equal(ask(&q, "aa", "192.0.2.2", 1001), FETCH_WAIT);
        assert_int_equal(q.n_pending, 1);
        fetch_queue_answer(&q, "aa", FETCH_DONE, 0, 1002);
        assert_int_equal(q.n_pending, 0);
        fetch_queue_answer(&q, "aa", FETCH_DONE, 0, 1002); /* ignored */
        fetch_queue_answer(&q, "bb", FETCH_FAILED, 0, 1002);
        fetch_queue_answer(&q, "", FETCH_FAILED, 0, 1002);
        assert_int_equal(q.n_pending, 0);
        assert_int_equal(ask(&q, "", "192.0.2.1", 1000), FETCH_UNAVAILABLE);

        /* what is not there is not asked for again for a while, for any client */
        assert_int_equal(ask(&q, "cc", "192.0.2.1", 1010), FETCH_SEND);
        fetch_queue_answer(&q, "cc", FETCH_FAILED, 0, 1011);
        assert_int_equal(ask(&q, "cc", "192.0.2.2", 1011), FETCH_UNAVAILABLE);
        assert_int_equal(ask(&q, "cc", "192.0.2.2", 1310), FETCH_UNAVAILABLE);
        assert_int_equal(ask(&q, "cc", "192.0.2.2", 1311), FETCH_SEND);
        fetch_queue_forget(&q, "cc");
        assert_int_equal(q.n_pending, 0);
}

/* The key service says when: nobody asks before. */
static void later(_unused_ void **state) {
        static FetchQueue q;
        unsigned seconds;

        assert_int_equal(ask(&q, "aa", "192.0.2.1", 1000), FETCH_SEND);
        assert_int_equal(ask(&q, "ab", "192.0.2.2", 1000), FETCH_SEND);
        fetch_queue_answer(&q, "aa", FETCH_LATER, 120, 1000);
        fetch_queue_answer(&q, "ab", FETCH_LATER, 5, 1001);
        assert_int_equal(fetch_queue_ask(&q, "aa", "192.0.2.1", 1001, &seconds), FETCH_WAIT);
        assert_int_equal(seconds, 119);
        assert_int_equal(fetch_queue_ask(&q, "other", "192.0.2.3", 1119, &seconds), FETCH_WAIT);
        assert_int_equal(seconds, 1);
        assert_int_equal(ask(&q, "aa", "192.0.2.1", 1120), FETCH_SEND); /* it is nobody's failure */
        fetch_queue_answer(&q, "aa", FETCH_LATER, INT64_MAX, 1120);
        assert_int_equal(fetch_queue_ask(&q, "aa", "192.0.2.1", 1120, &seconds), FETCH_WAIT);
        assert_int_equal(seconds, FETCH_LATER_MAX);
}

/* One address invents 10,000 chips while the key service says no to each after a second; another one asks for a real chip: it is sent at
 * once, behind at most the share of the first. */
static void strangers(_unused_ void **state) {
        static FetchQueue q;
        unsigned sent = 0;
        char what[32], pending[FETCH_PENDING_MAX][32];
        size_t n = 0;

        for (unsigned i = 0; i < 10000; i++) {
                int64_t now = 1000 + i / 100;

                (void) snprintf(what, sizeof(what), "%08x", i);
                if (ask(&q, what, "203.0.113.9", now) == FETCH_SEND) {
                        assert_true(n < FETCH_SHARE);
                        (void) snprintf(pending[n++], sizeof(pending[0]), "%s", what);
                        sent++;
                }
                if (i % 100 == 99 && n > 0)
                        fetch_queue_answer(&q, pending[--n], FETCH_FAILED, 0, now);
                if (i == 5000) {
                        assert_int_equal(ask(&q, "good", "192.0.2.1", now), FETCH_SEND);
                        fetch_queue_answer(&q, "good", FETCH_DONE, 0, now);
                }
        }
        /* 2 + 4 + 8 ... seconds: a few requests in 100 seconds */
        assert_in_range(sent, 2, 10);
        assert_int_equal(ask(&q, "more", "203.0.113.9", 1101), FETCH_WAIT);
        assert_int_equal(ask(&q, "more", "203.0.113.9", 2000), FETCH_SEND);
}

/* Many addresses fill the requests under way; a new client is told to wait, nothing grows, and what is known stays. */
static void crowd(_unused_ void **state) {
        static FetchQueue q;
        unsigned sent = 0;
        char what[32], peer[32];

        for (unsigned i = 0; i < 1000; i++) {
                (void) snprintf(what, sizeof(what), "%08x", i);
                (void) snprintf(peer, sizeof(peer), "203.0.%u.%u", i / 256, i % 256);
                sent += ask(&q, what, peer, 1000) == FETCH_SEND;
        }
        assert_int_equal(sent, FETCH_PENDING_MAX);
        for (unsigned i = 0; i < 1000; i++) {
                (void) snprintf(what, sizeof(what), "%08x", i);
                (void) snprintf(peer, sizeof(peer), "203.0.%u.%u", i / 256, i % 256);
                (void) ask(&q, what, peer, 1001);
                fetch_queue_answer(&q, what, FETCH_FAILED, 0, 1001);
        }
        assert_int_equal(q.n_pending, 0);
        assert_int_equal(ask(&q, "good", "192.0.2.1", 1001), FETCH_SEND);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(once),
                cmocka_unit_test(later),
                cmocka_unit_test(strangers),
                cmocka_unit_test(crowd),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
