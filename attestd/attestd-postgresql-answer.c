/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What PostgreSQL answers: results until a deadline, and errors, after which a connection may be closed. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "attestd-postgresql.h"
#include "strutil.h"

#define QUERY_USEC (10u * 1000000) /* longer than the server's own limits */

uint64_t pg_monotonic_usec(void) {
        struct timespec t;

        return clock_gettime(CLOCK_BOOTTIME, &t) < 0
                        ? 0
                        : (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

void pg_disconnect(PgStore *s) {
        if (s->connection)
                pq.PQfinish(s->connection);
        s->connection = NULL;
        s->n_prepared = 0;
        s->in_transaction = false;
}

/* PostgreSQL's documentation, appendix A: the first two characters are a class. */
static int sqlstate_error(const char *state) {
        static const struct {
                const char *prefix;
                int error;
        } table[] = {
                { "08", -ECONNRESET },    /* connection */
                { "22", -EINVAL },        /* data, as text that is not UTF-8 */
                { "23505", -EEXIST },     /* unique */
                { "25006", -EROFS },      /* read-only: a replica, or a primary that became one */
                { "25P03", -ECONNRESET }, /* idle in a transaction for too long */
                { "40", -ERESTART },      /* serialisation, deadlock: nothing was done */
                { "53100", -ENOSPC },     /* disk full */
                { "53", -EAGAIN },        /* resources */
                { "55P03", -EAGAIN },     /* lock timeout */
                { "57014", -EAGAIN },     /* statement timeout */
                { "57", -ECONNRESET },    /* shutdown, crash, starting */
                { "58", -EIO },           /* the server's system */
        };

        FOREACH_ARRAY(t, table, ELEMENTSOF(table))
                if (state && startswith(state, t->prefix))
                        return t->error;
        return state ? -EIO : -ECONNRESET;
}

static void keep_reason(PgStore *s) {
        const char *text = pq.PQerrorMessage(s->connection);

        if (!text || !*text)
                return;
        free(s->reason);
        s->reason = strdup(text);
        if (s->reason) {
                s->reason[strcspn(s->reason, "\n")] = 0;
                text_flatten(s->reason, 300);
        }
}

static int wait_input(PgStore *s, uint64_t deadline, bool unsent) {
        uint64_t now = pg_monotonic_usec();
        struct pollfd p = { .fd = pq.PQsocket(s->connection),
                .events = (short) (POLLIN | (unsent ? POLLOUT : 0)) };
        int r;

        if (now >= deadline)
                return -ETIMEDOUT;
        r = poll(&p, 1, (int) ((deadline - now) / 1000) + 1);
        if (r < 0)
                return errno == EINTR ? 0 : -errno;
        return r > 0 && !pq.PQconsumeInput(s->connection) ? -ECONNRESET : 0;
}

int pg_collect(PgStore *s, PGresult **ret) {
        uint64_t deadline = pg_monotonic_usec() + QUERY_USEC;
        PGresult *last = NULL;
        int r = 0, unsent = 1, error = 0;

        for (;;) {
                PGresult *result;

                while (r >= 0 && (unsent > 0 || pq.PQisBusy(s->connection))) {
                        unsent = unsent > 0 ? pq.PQflush(s->connection) : 0;
                        r = unsent < 0 ? -ECONNRESET
                                        : unsent > 0 || pq.PQisBusy(s->connection)
                                        ? wait_input(s, deadline, unsent > 0)
                                        : 0;
                }
                if (r < 0)
                        break;
                result = pq.PQgetResult(s->connection);
                if (!result)
                        break;
                if (last)
                        pq.PQclear(last);
                last = result;
                if (error == 0 && pq.PQresultStatus(result) != PQ_COMMAND_OK &&
                                pq.PQresultStatus(result) != PQ_TUPLES_OK) {
                        error = sqlstate_error(pq.PQresultErrorField(result, PQ_DIAG_SQLSTATE));
                        keep_reason(s);
                }
        }
        r = r < 0 ? r : error;
        /* A statement that did not end may end later: its connection is of no use. Nor is one to a server that only reads. */
        if (r == -ETIMEDOUT || r == -ECONNRESET || r == -EROFS) {
                keep_reason(s);
                pg_disconnect(s);
        }
        if (r < 0) {
                if (last)
                        pq.PQclear(last);
                return r == -ETIMEDOUT ? -ECONNRESET : r;
        }
        *ret = last;
        return 0;
}

int pg_send_failed(PgStore *s) {
        keep_reason(s);
        pg_disconnect(s);
        return -ECONNRESET;
}
