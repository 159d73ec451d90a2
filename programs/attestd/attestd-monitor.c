/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What monitoring asks the service, on a socket that only this machine reaches. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "attestd.h"
#include "daemon.h"
#include "error.h"
#include "strutil.h"

#define WAIT_MSEC 1000u /* no answer here waits */

static int text(HttpdAnswer *a, unsigned status, const char *body) {
        a->status = status;
        a->type = "text/plain; charset=utf-8";
        a->size = strlen(body);
        a->body = strdup(body);
        return a->body ? 0 : -ENOMEM;
}

/* The same question as GET /health: can the store be asked? */
static int ready(const AttestdMonitor *m, HttpdAnswer *ret) {
        _cleanup_(reply_done) Reply reply = {};
        Request q = { .method = "GET", .path = "/health" };
        Service s = *m->service;

        if (m->ends)
                return text(ret, 503, "the service is being stopped\n");
        s.metrics = NULL;
        service_handle(&s, &q, &reply);
        return reply.status == 200 ? text(ret, 200, "ready\n")
                                   : text(ret, 503, "the service cannot use its database\n");
}

static int answer(void *userdata, const HttpdRequest *q, HttpdAnswer *ret) {
        const AttestdMonitor *m = userdata;
        int r;

        if (streq(q->target, "/healthz"))
                return text(ret, 200, "ok\n");
        if (streq(q->target, "/readyz"))
                return ready(m, ret);
        if (!streq(q->target, "/metrics"))
                return text(ret, 404, "here are /metrics, /healthz and /readyz\n");
        r = metrics_text(m->service, &ret->body);
        if (r < 0)
                return r;
        ret->status = 200;
        ret->type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ret->size = strlen(ret->body);
        return 0;
}

int attestd_monitor(const AttestdArgs *a, AttestdMonitor *m, char **ret_address, char **reterr) {
        HttpdSettings settings = { .handler = answer, .userdata = m, .wait_msec = WAIT_MSEC };
        int r = daemon_listen(a->metrics, "only on a loopback address or a unix socket", &settings.listen_fd,
                        ret_address, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "--metrics");
        r = httpd_new(&settings, &m->httpd);
        if (r < 0)
                (void) close(settings.listen_fd);
        return r;
}

void attestd_monitor_done(AttestdMonitor *m) {
        m->httpd = httpd_free(m->httpd);
}
