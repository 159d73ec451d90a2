/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* AMD's signature on a chip's key, for hosts that send an unsigned one: fetched by a child from AMD's key service into the
 * --cek-store. The child is started before anything secret is read and keeps the network; the daemon, which gives the network up, asks
 * it over a socket pair and never waits: whoever needs the certificate is told to come again.
 *
 * A message is a chip's id in hexadecimal; for SNP the name of a file in the --kds-cache, a blank, and its path at the key service. The
 * answer is the same with '+' (it lies in the store) or '-' in front. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "atomic-file.h"
#include "attest-chain.h"
#include "attestd.h"
#include "confine.h"
#include "error.h"
#include "fd.h"
#include "http-client.h"
#include "log.h"
#include "snp-kds.h"
#include "strutil.h"

#define KDS_URL         "https://kdsintf.amd.com"
#define TIMEOUT_SECONDS 20u
#define FAILED_SECONDS  300 /* so long the service does not try again */
#define PENDING_MAX     8u  /* more wait on the side of those who ask */
#define PAUSE_SECONDS   1 /* behind a failure: whoever invents chips makes us ask AMD once a second at most */

typedef struct FetchChild {
        const AttestdArgs *args;
        int fd, parent_fd;
} FetchChild;

/* Only what is a CEK is kept; whether AMD signed it is for the service to find out each time. */
static bool is_cek(const uint8_t *data, size_t size) {
        _cleanup_free_ SevChain *c = calloc(1, sizeof(SevChain));

        return c && size == SEV_CERT_SIZE && sev_chain_add(c, data, size, false, NULL) >= 0 && c->has_cek;
}

/* What holds certificates of the names that AMD uses is kept; whether they are the right ones, and genuine, the service finds out. */
static bool is_collateral(const uint8_t *data, size_t size) {
        _cleanup_(snp_collateral_done) SnpCollateral c = {};

        return size > 0 &&
                        snp_collateral_add(&c, data, size, "AMD's key service", /* named= */ false, NULL) >=
                        0;
}

/* "NAME PATH": SNP's certificates. */
static int fetch_snp(const AttestdArgs *a, HttpClient *client, const char *what, const char *path) {
        _cleanup_(http_answer_done) HttpAnswer answer = {};
        _cleanup_free_ char *url = NULL, *file = NULL;
        int r;

        if (asprintf(&url, "%s%s", a->kds_url ?: KDS_URL, path) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        if (asprintf(&file, "%s/%.*s", a->kds_cache, (int) strcspn(what, " "), what) < 0) {
                file = NULL;
                return -ENOMEM;
        }
        r = http_client_get(client, url, SNP_KDS_ANSWER_MAX, TIMEOUT_SECONDS, &answer, NULL);
        if (r < 0)
                return r;
        if (answer.status != 200 || !is_collateral(answer.body, answer.size))
                return -ENOENT;
        return file_write_atomic(file, answer.body, answer.size, 0644, ATOMIC_FILE_REPLACE);
}

static int fetch(const AttestdArgs *a, HttpClient *client, const char *id) {
        _cleanup_(http_answer_done) HttpAnswer answer = {};
        _cleanup_free_ char *url = NULL, *path = NULL;
        const char *blank = strchr(id, ' ');
        int r;

        if (blank)
                return fetch_snp(a, client, id, blank + 1);
        if (asprintf(&url, "%s/cek/id/%s", a->kds_url ?: KDS_URL, id) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        if (asprintf(&path, "%s/cek-%s.cert", a->cek_store, id) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = http_client_get(client, url, SEV_CHAIN_SIZE_MAX, TIMEOUT_SECONDS, &answer, NULL);
        if (r < 0)
                return r;
        if (answer.status != 200 || !is_cek(answer.body, answer.size))
                return -ENOENT;
        return file_write_atomic(path, answer.body, answer.size, 0644, ATOMIC_FILE_REPLACE);
}

/* It talks to strangers: what it can still open are the store, and what name resolution and TLS read. In /etc that is file by file: keys
 * may lie beside them. */
static int confine_child(const AttestdArgs *a) {
        static const char *const readable[] = { "/usr", "/lib", "/lib64", "/etc/ssl", "/etc/pki",
                "/etc/ca-certificates", "/etc/ld.so.cache", "/etc/resolv.conf", "/etc/hosts",
                "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services",
                "/run/systemd/resolve", "/run/resolvconf", "/run/nscd" };
        ConfinePath paths[2 + ELEMENTSOF(readable)];
        size_t n = 0;
        int r = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : confine_no_new_privileges();

        if (a->cek_store)
                paths[n++] = (ConfinePath) { a->cek_store, true };
        if (a->kds_cache)
                paths[n++] = (ConfinePath) { a->kds_cache, true };
        FOREACH_ARRAY(path, readable, ELEMENTSOF(readable))
                if (access(*path, F_OK) >= 0)
                        paths[n++] = (ConfinePath) { *path, false };
        if (r >= 0)
                r = confine_capabilities(NULL, 0);
        if (r >= 0)
                r = confine_files_to_paths(paths, n);
        return r == -EOPNOTSUPP ? 0 : r;
}

static int child_main(void *userdata) {
        const FetchChild *f = userdata;
        _cleanup_http_client_ HttpClient *client = NULL;
        char message[FETCH_ID_MAX + 2];

        (void) close(f->parent_fd);
        if (http_client_new(&client, NULL) < 0 || confine_child(f->args) < 0) {
                log_error("certificates cannot be fetched: no libcurl, or no way to give up privileges");
                http_client_free(TAKE_PTR(client)); /* goes on to say no */
        }
        for (;;) {
                ssize_t n = recv(f->fd, message + 1, FETCH_ID_MAX, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return 0; /* the daemon is gone */
                message[n + 1] = 0;
                message[0] = client && fetch(f->args, client, message + 1) >= 0 ? '+' : '-';
                if (send(f->fd, message, (size_t) n + 1, MSG_NOSIGNAL) < 0)
                        return 1;
                if (message[0] == '-')
                        (void) sleep(PAUSE_SECONDS);
        }
}

int attestd_fetch_start(const AttestdArgs *a, AttestdFetch *f, char **reterr) {
        int fds[2], r;
        FetchChild child;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        child = (FetchChild) { a, fds[1], fds[0] };
        r = process_fork(child_main, &child, &f->process);
        (void) close(fds[1]);
        f->fd = fds[0];
        return r < 0 ? error_set(reterr, r, "cannot start the process that fetches certificates: %s",
                                       strerror(-r))
                     : 0;
}

void attestd_fetch_done(AttestdFetch *f) {
        f->fd = fd_close(f->fd);
        process_done(&f->process);
}

static FetchEntry *find(AttestdFetch *f, const char *id) {
        FOREACH_ARRAY(e, f->entries, ELEMENTSOF(f->entries))
                if (streq(e->id, id))
                        return e;
        return NULL;
}

static void read_answers(AttestdFetch *f, int64_t now) {
        char message[FETCH_ID_MAX + 2];
        ssize_t n;

        while ((n = recv(f->fd, message, FETCH_ID_MAX + 1, MSG_DONTWAIT)) > 0) {
                FetchEntry *e;

                message[n] = 0;
                e = find(f, message + 1);
                if (!e)
                        continue;
                f->n_pending--;
                if (message[0] == '+')
                        *e = (FetchEntry) {};
                else
                        e->failed = now;
        }
}

/* An entry to use: an empty one, or that of the oldest failure. */
static FetchEntry *make_room(AttestdFetch *f) {
        FetchEntry *oldest = NULL;

        FOREACH_ARRAY(e, f->entries, ELEMENTSOF(f->entries)) {
                if (!e->id[0])
                        return e;
                if (e->failed > 0 && (!oldest || e->failed < oldest->failed))
                        oldest = e;
        }
        return oldest;
}

int attestd_fetch_ask(void *userdata, const char *id) {
        AttestdFetch *f = userdata;
        int64_t now = (int64_t) time(NULL);
        FetchEntry *e;

        static_assert(PENDING_MAX < FETCH_ENTRIES, "one is always free or failed");
        if (strlen(id) > FETCH_ID_MAX)
                return 0;
        read_answers(f, now);
        e = find(f, id);
        if (e && e->failed == 0)
                return 1;
        if (e && e->failed + FAILED_SECONDS > now)
                return 0;
        if (f->n_pending >= PENDING_MAX)
                return 1;
        if (!e)
                e = make_room(f);
        if (!e)
                return 1;
        if (send(f->fd, id, strlen(id), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                return errno == EAGAIN ? 1 : 0;
        *e = (FetchEntry) {};
        memcpy(e->id, id, strlen(id));
        f->n_pending++;
        return 1;
}
