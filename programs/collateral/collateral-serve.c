/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The mirror at work: clients on its sockets, one download at a time in a child, and the cache between the two. This process has no network but
 * its sockets and cannot write the cache; everything that it hands out is verified at that moment. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "collateral-answer.h"
#include "daemon.h"
#include "error.h"
#include "fd.h"
#include "log.h"
#include "loop.h"
#include "strutil.h"

#define DRAIN_USEC   200000u /* for answers that are on their way when we are told to end */
#define FILES_WANTED (COLLATERAL_SOCKETS_MAX * 64u + HTTPD_CONNECTIONS_MAX)
#define LOCAL_ONLY                                                                                          \
        "only loopback addresses and unix sockets; to serve other machines put a TLS proxy before it"

typedef struct Mirror {
        Loop *loop;
        Httpd *servers[COLLATERAL_SOCKETS_MAX];
        LoopSource *io[COLLATERAL_SOCKETS_MAX], *timer, *fetched[_COLLATERAL_SERVICE_MAX], *term, *interrupt;
        size_t n_servers;
        CollateralFetch fetch[_COLLATERAL_SERVICE_MAX];
        CollateralDesk desk;
        int notify_fd; /* owned */
        bool ends;
} Mirror;

static void mirror_done(Mirror *m) {
        for (size_t i = 0; i < m->n_servers; i++) {
                loop_source_unref(m->io[i]);
                httpd_free(m->servers[i]);
        }
        loop_source_unref(m->timer);
        FOREACH_ARRAY(f, m->fetched, ELEMENTSOF(m->fetched))
                loop_source_unref(*f);
        loop_source_unref(m->term);
        loop_source_unref(m->interrupt);
        loop_unref(m->loop);
        collateral_desk_done(&m->desk);
        FOREACH_ARRAY(f, m->fetch, ELEMENTSOF(m->fetch))
                collateral_fetch_done(f);
        (void) fd_close(m->notify_fd);
}

/* Sends the next download of each service, if it is time for one; *ret_msec: when to look again. */
static int fetch_next(Mirror *m, uint64_t *ret_msec) {
        int r;

        *ret_msec = UINT64_MAX;
        if (m->fetch[0].fd < 0 || m->ends)
                return 0;
        r = collateral_desk_ahead(&m->desk);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(m->fetch); i++) {
                const CollateralEntry *e;
                uint64_t msec;

                e = collateral_queue_next(&m->desk.queues[i], collateral_now(), &msec);
                *ret_msec = MIN(*ret_msec, msec);
                if (e)
                        r = collateral_fetch_send(&m->fetch[i], e);
        }
        return r;
}

static int turn(Mirror *m) {
        uint64_t usec = UINT64_MAX, msec;
        int r = fetch_next(m, &msec);

        for (size_t i = 0; r >= 0 && i < m->n_servers; i++) {
                uint64_t u;

                r = httpd_run(m->servers[i], &u);
                usec = MIN(usec, u);
        }
        /* What clients asked for a moment ago is due now. */
        if (r >= 0)
                r = fetch_next(m, &msec);
        if (r < 0)
                return r;
        if (msec < usec / 1000)
                usec = msec * 1000;
        return loop_source_rearm(m->timer, m->ends ? MIN(usec, (uint64_t) DRAIN_USEC) : usec);
}

static int on_io(_unused_ LoopSource *s, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        return turn(userdata);
}

static int on_timer(_unused_ LoopSource *s, _unused_ uint64_t usec, void *userdata) {
        Mirror *m = userdata;

        if (m->ends && collateral_now() >= m->desk.ends)
                return loop_exit(m->loop, 0);
        return turn(m);
}

static void wake(Mirror *m, const char *name) {
        for (size_t i = 0; i < m->n_servers; i++)
                httpd_wake(m->servers[i], name);
}

static int on_fetched(_unused_ LoopSource *s, int fd, _unused_ uint32_t events, void *userdata) {
        Mirror *m = userdata;
        size_t i = m->fetch[COLLATERAL_INTEL].fd == fd ? COLLATERAL_INTEL : COLLATERAL_AMD;
        CollateralQueue *queue = &m->desk.queues[i];
        CollateralFetched f;
        int r = collateral_fetch_receive(&m->fetch[i], &f);

        if (r == -EPIPE)
                log_error("the process that downloads has ended");
        if (r <= 0)
                return r;
        if (f.outcome == COLLATERAL_WRONG)
                log_warning("the answer for '%s' is not used: %s", f.name, f.why);
        else if (f.outcome == COLLATERAL_LATER && queue->failures == 0)
                log_warning("cannot download '%s': %s; trying again later", f.name, f.why);
        else if (f.outcome != COLLATERAL_LATER && queue->failures > 0)
                log_notice(i == COLLATERAL_INTEL ? "Intel's PCS answers again"
                                                 : "the key service answers again");
        collateral_queue_settle(queue, f.name, f.outcome, f.msec, collateral_now());
        /* After a failure all learn at once how long it will take. */
        wake(m, f.outcome == COLLATERAL_LATER ? NULL : f.name);
        return turn(m);
}

/* Clients that wait are told to ask again; what is on its way is sent. */
static int on_signal(_unused_ LoopSource *s, _unused_ const struct signalfd_siginfo *si, void *userdata) {
        Mirror *m = userdata;

        m->ends = true;
        m->desk.ends = collateral_now() + DRAIN_USEC / 1000;
        daemon_notify(m->notify_fd, "STOPPING=1");
        wake(m, NULL);
        return turn(m);
}

static int add_server(Mirror *m, int fd, char *address, const CollateralArgs *a) {
        const HttpdSettings settings = { .listen_fd = fd,
                .handler = collateral_desk_answer,
                .userdata = &m->desk,
                .wait_msec = (unsigned) MIN(a->patience / 1000, (uint64_t) UINT32_MAX) };
        int r = httpd_new(&settings, &m->servers[m->n_servers]);

        if (r < 0) {
                (void) close(fd);
                return r;
        }
        m->n_servers++;
        r = loop_add_io(m->loop, httpd_fd(m->servers[m->n_servers - 1]), EPOLLIN, on_io, m,
                        &m->io[m->n_servers - 1]);
        if (r >= 0)
                log_notice("listening on %s", address);
        return r;
}

static int add_sockets(Mirror *m, const CollateralArgs *a, char **reterr) {
        static char *const defaults[] = { (char *) "unix:/run/cvmspawn-collateral/kds.sock", NULL };
        char *const *given = a->listen ?: (char **) defaults;
        int passed = daemon_passed_sockets(COLLATERAL_SOCKETS_MAX, reterr), r = MIN(passed, 0);

        if (strv_length(given) > COLLATERAL_SOCKETS_MAX)
                return error_set(reterr, -EINVAL, "--listen: at most %u addresses", COLLATERAL_SOCKETS_MAX);
        for (unsigned i = 0; r >= 0 && (passed > 0 ? i < (unsigned) passed : given[i] != NULL); i++) {
                _cleanup_free_ char *address = NULL;
                int fd;

                r = passed > 0 ? daemon_take_socket(i, LOCAL_ONLY, &fd, &address, reterr)
                               : daemon_listen(given[i], LOCAL_ONLY, &fd, &address, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "--listen");
                r = add_server(m, fd, address, a);
        }
        return r;
}

/* A descriptor for each connection; fewer connections if the limit cannot be raised. */
static void raise_files(void) {
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= FILES_WANTED)
                return;
        l.rlim_cur = MIN(l.rlim_max, (rlim_t) FILES_WANTED);
        (void) setrlimit(RLIMIT_NOFILE, &l);
}

static int prepare(Mirror *m, const CollateralArgs *a, char **reterr) {
        int r = collateral_desk_open(&m->desk, a, reterr);

        for (size_t i = 0; r >= 0 && !a->offline && i < ELEMENTSOF(m->fetch); i++)
                r = collateral_fetch_start(
                                a, &m->desk.store, i > 0 ? &m->fetch[0] : NULL, &m->fetch[i], reterr);
        if (r >= 0)
                r = loop_new(&m->loop);
        if (r >= 0)
                r = add_sockets(m, a, reterr);
        if (r >= 0)
                r = loop_add_timer(m->loop, 0, on_timer, m, &m->timer);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(m->fetch); i++)
                if (m->fetch[i].fd >= 0)
                        r = loop_add_io(m->loop, m->fetch[i].fd, EPOLLIN, on_fetched, m, &m->fetched[i]);
        if (r >= 0)
                r = loop_add_signal(m->loop, SIGTERM, on_signal, m, &m->term);
        if (r >= 0)
                r = loop_add_signal(m->loop, SIGINT, on_signal, m, &m->interrupt);
        return r;
}

int collateral_serve(const CollateralArgs *a, char **reterr) {
        _cleanup_(mirror_done) Mirror m = { .fetch = { COLLATERAL_FETCH_NONE, COLLATERAL_FETCH_NONE },
                .notify_fd = -EBADF };
        int r;

        (void) signal(SIGPIPE, SIG_IGN);
        raise_files();
        if (a->insecure_root)
                log_warning("trusting '%s' instead of AMD: anybody who has its private key can forge certificates",
                                a->insecure_root);
        if (a->insecure_tdx_root)
                log_warning("trusting '%s' instead of Intel: anybody who has its private key can forge statements",
                                a->insecure_tdx_root);
        m.notify_fd = daemon_notify_open();
        r = prepare(&m, a, reterr);
        if (r >= 0) {
                const ConfinePath readable[] = { { m.desk.store.cache, false } };

                r = daemon_confine(&(DaemonConfinement) { .paths = readable, .n_paths = 1 }, reterr);
        }
        if (r < 0)
                return r;
        daemon_notify(m.notify_fd, "READY=1");
        return loop_run(m.loop);
}
