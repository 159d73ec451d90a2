/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "qmp-job.h"

#include <errno.h>

#include "error.h"
#include "qmp-client-internal.h"
#include "strutil.h"

typedef struct JobWait {
        const char *id;
        bool done; /* concluded, or the connection ended */
        bool lost; /* the client must not be touched */
} JobWait;

static int on_job_event(_unused_ QmpClient *c, const char *name, const Json *data, void *userdata) {
        JobWait *w = userdata;
        const char *id = js_string_value(js_get(data, "id"));

        if (!name)
                w->done = w->lost = true;
        else if (streq(name, "JOB_STATUS_CHANGE") && streq_ptr(id, w->id) &&
                        streq_ptr(js_string_value(js_get(data, "status")), "concluded"))
                w->done = true;
        return 0;
}

/* Whether the concluded job worked. */
static int job_result(QmpClient *c, const char *id, uint64_t deadline, char **reterr) {
        _cleanup_js_ Json *jobs = NULL;
        int r;

        r = qmp_call_wait(c, "query-jobs", NULL, qmp_deadline_left(deadline), &jobs, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < js_length(jobs); i++) {
                const Json *job = js_at(jobs, i), *error = js_get(job, "error");

                if (!streq_ptr(js_string_value(js_get(job, "id")), id))
                        continue;
                if (error)
                        return error_set(reterr, -EIO, "QEMU's job '%s' failed: %s", id,
                                        js_string_value(error) ?: "no reason given");
                return 0;
        }
        return error_set(reterr, -EBADMSG, "QEMU's job '%s' was gone before its result was read", id);
}

static int job_dismiss(QmpClient *c, const char *id, uint64_t deadline, char **reterr) {
        Json *args;
        int r = js_build(&args, "{s:s}", "id", id);

        if (r < 0)
                return r;
        return qmp_call_wait(c, "job-dismiss", args, qmp_deadline_left(deadline), NULL, reterr);
}

static int job_start_and_wait(QmpClient *c, JobWait *w, const char *command, Json *args, uint64_t deadline,
                char **reterr) {
        int r;

        r = qmp_call_wait(c, command, args, qmp_deadline_left(deadline), NULL, reterr);
        if (r < 0)
                return r;
        r = qmp_client_wait(c, &w->done, deadline, command, reterr);
        if (r < 0)
                return r;
        if (w->lost)
                return error_set(reterr, -ECONNRESET, "the QMP connection ended while job '%s' ran", w->id);
        return 0;
}

int qmp_blockdev_create_wait(
                QmpClient *c, const char *job_id, Json *options, uint64_t timeout_usec, char **reterr) {
        _cleanup_js_ Json *args = js_object(), *o = options;
        uint64_t deadline = qmp_deadline(timeout_usec);
        JobWait w = { .id = job_id };
        int r, k;

        if (c->watch)
                return error_set(reterr, -EBUSY, "another job is being waited for");
        r = js_set(args, "job-id", js_string(job_id));
        if (r >= 0)
                r = js_set(args, "options", TAKE_PTR(o));
        if (r < 0)
                return r;

        c->watch = on_job_event;
        c->watch_userdata = &w;
        r = job_start_and_wait(c, &w, "blockdev-create", TAKE_PTR(args), deadline, reterr);
        if (!w.lost)
                c->watch = NULL;
        if (r < 0)
                return r;

        r = job_result(c, job_id, deadline, reterr);
        k = job_dismiss(c, job_id, deadline, reterr);
        return r < 0 ? r : k;
}
