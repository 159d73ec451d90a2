/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The connection to PostgreSQL, with a deadline for everything: a server that does not answer costs the service seconds, and then 503 for its
 * clients, until it is back. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "attestd-postgresql.h"
#include "error.h"
#include "strutil.h"

#define CONNECT_USEC   (5u * 1000000)
#define PAUSE_USEC_MIN (50u * 1000)
#define PAUSE_USEC_MAX (2u * 1000000)
#define CLOCK_USEC     (60u * 1000000)
#define VERSION_MIN    130000

/* What the session must have: changes last a crash of the server; nobody waits for a lock, nor holds one, without end. */
#define SESSION                                                                                                        \
        "SET search_path = cvmspawn_attestd; SET client_min_messages = error;"                                         \
        "SET default_transaction_isolation = 'read committed'; SET statement_timeout = '8s'; SET lock_timeout = '5s';" \
        "SET idle_in_transaction_session_timeout = '10s';"                                                             \
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"

static void ignore_notice(_unused_ void *userdata, _unused_ const PGresult *result) {
}

static int wait_for(int fd, short events, uint64_t deadline) {
        for (;;) {
                struct pollfd p = { .fd = fd, .events = events };
                uint64_t now = pg_monotonic_usec();
                int r;

                if (now >= deadline)
                        return -ETIMEDOUT;
                r = poll(&p, 1, (int) ((deadline - now) / 1000) + 1);
                if (r > 0)
                        return 0;
                if (r < 0 && errno != EINTR)
                        return -errno;
        }
}

static int open_connection(PgStore *s) {
        uint64_t deadline = pg_monotonic_usec() + CONNECT_USEC;
        int state = PQ_POLLING_WRITING;

        s->connection = pq.PQconnectStartParams(
                        (const char *const *) s->keys, (const char *const *) s->values, 1);
        if (!s->connection)
                return -ENOMEM;
        (void) pq.PQsetNoticeReceiver(s->connection, ignore_notice, NULL);
        if (pq.PQstatus(s->connection) == PQ_CONNECTION_BAD)
                return -EAGAIN;
        while (state == PQ_POLLING_WRITING || state == PQ_POLLING_READING) {
                int r = wait_for(pq.PQsocket(s->connection), state == PQ_POLLING_READING ? POLLIN : POLLOUT,
                                deadline);

                if (r < 0)
                        return r;
                state = pq.PQconnectPoll(s->connection);
        }
        if (state != PQ_POLLING_OK)
                return -EAGAIN;
        return pq.PQsetnonblocking(s->connection, 1) == 0 ? 0 : -EAGAIN;
}

static int read_clock(PgStore *s) {
        _cleanup_pg_ PgRows q = {};
        uint64_t now = pg_monotonic_usec();
        int r = pg_query(&s->store, &q, "SELECT floor(extract(epoch FROM clock_timestamp()))::int8", "");

        if (r < 0)
                return r;
        if (pg_row(&q) <= 0)
                return -EIO;
        s->clock_offset = pg_int64(&q, 0) - (int64_t) (now / 1000000);
        s->clock_read_usec = now;
        return 0;
}

static int compare_clocks(PgStore *s) {
        int r;

        s->in_transaction = true; /* it is not to connect */
        r = read_clock(s);
        s->in_transaction = false;
        return r;
}

static void keep_reason(PgStore *s, int r) {
        const char *text = s->connection ? pq.PQerrorMessage(s->connection) : NULL;

        free(s->reason);
        s->reason = strdup(text && *text ? text : strerror(-r));
        if (s->reason) {
                s->reason[strcspn(s->reason, "\n")] = 0;
                text_flatten(s->reason, 300);
        }
}

int pg_connect(PgStore *s) {
        uint64_t now = pg_monotonic_usec();
        int r;

        if (s->in_transaction)
                return s->connection ? 0 : -ECONNRESET;
        if (s->connection && pq.PQstatus(s->connection) == PQ_CONNECTION_OK)
                return now < s->clock_read_usec + CLOCK_USEC ? 0 : compare_clocks(s);
        pg_disconnect(s);
        if (now < s->retry_usec)
                return -EAGAIN;
        s->in_transaction = true; /* nothing below connects */
        r = open_connection(s);
        if (r >= 0 && pq.PQserverVersion(s->connection) < VERSION_MIN)
                r = -EOPNOTSUPP;
        if (r >= 0)
                r = pg_exec(s, SESSION);
        if (r >= 0)
                r = read_clock(s);
        s->in_transaction = false;
        if (r >= 0) {
                s->pause_usec = 0;
                return 0;
        }
        keep_reason(s, r);
        pg_disconnect(s);
        s->pause_usec = s->pause_usec > 0 ? MIN(2 * s->pause_usec, (uint64_t) PAUSE_USEC_MAX)
                                          : PAUSE_USEC_MIN;
        s->retry_usec = pg_monotonic_usec() + s->pause_usec;
        return r == -EOPNOTSUPP || r == -ENOMEM ? r : -EAGAIN;
}
