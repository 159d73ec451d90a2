/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Downloads certificates from AMD's key service into --cek-store and --kds-cache, for hosts that do not send them, and Intel's statements into --kds-cache. A child does it: it is
 * started before anything secret is read and keeps the network; the daemon, which gives the network up, asks it over a socket pair and
 * never waits: a client that needs the certificate is told to ask again (attestd-fetch-queue.h decides when).
 *
 * A request is a chip's id in hexadecimal; for SEV-SNP the name of a file in --kds-cache, a blank, and its path at the key service; for TDX likewise, at Intel's PCS. The
 * answer is "+" (it is stored), "-" (it is not available) or "~SECONDS:" (the key service said when to ask again), and the request. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "atomic-file.h"
#include "attest-chain.h"
#include "attestd.h"
#include "daemon.h"
#include "error.h"
#include "fd.h"
#include "http-client.h"
#include "log.h"
#include "platform.h"
#include "snp-kds.h"
#include "strutil.h"
#include "td-pcs.h"

#define TIMEOUT_SECONDS 20u
#define LATER_SECONDS   30u /* after status 429 or 503 without Retry-After */
#define PAUSE_SECONDS                                                                                       \
        1 /* after a failure: clients that invent chips make us ask AMD once a second at most */
#define ANSWER_MAX (FETCH_WHAT_MAX + 16u)

typedef struct FetchChild {
        const AttestdArgs *args;
        SnpTrust trust;
        Certificate *intel; /* owned: the root for TDX */
        const TrustAnchors *anchors;
        TrustAnchor root;
        ServiceCollateral *collateral; /* owned */
        size_t n_collateral;
        int fd, parent_fd;
        int64_t not_before; /* the key service wants to be left alone until then */
} FetchChild;

/* Only a CEK certificate that AMD signed is kept: by one of the ASKs that the service was given. If it was given none, hosts send theirs, and the
 * service verifies each time. */
static bool is_good_cek(const FetchChild *f, const uint8_t *data, size_t size) {
        const SevChainPolicy policy = { .anchors = f->anchors };
        _cleanup_free_ SevChain *c = calloc(1, sizeof(SevChain));
        bool holds = f->n_collateral == 0;

        if (!c || size != SEV_CERT_SIZE || sev_chain_add(c, data, size, false, NULL) < 0 || !c->has_cek)
                return false;
        c->has_ask = c->has_ark = true;
        for (size_t i = 0; i < f->n_collateral && !holds; i++) {
                c->ask = f->collateral[i].ask;
                c->ark = f->collateral[i].ark;
                if (sev_chain_amd_holds(c, &policy, &holds) < 0)
                        return false;
        }
        return holds;
}

/* What the store has already was of no use, or nobody would have asked. */
static bool is_stored(const char *file, const uint8_t *data, size_t size) {
        _cleanup_free_ char *stored = NULL;
        size_t n;

        return file_read_all(file, SEV_CHAIN_SIZE_MAX, &stored, &n) >= 0 && n == size &&
                        memcmp(stored, data, n) == 0;
}

/* One file of the key service: 0, -EAGAIN (*ret_seconds: when to ask again), or what went wrong. */
static int download(HttpClient *client, const char *url, const char *header, HttpAnswer *ret,
                unsigned *ret_seconds) {
        const HttpRequest q = {
                .method = "GET", .url = url, .header = header, .timeout_seconds = TIMEOUT_SECONDS
        };
        int r = http_client_request(client, &q, SNP_KDS_ANSWER_MAX, ret, NULL);

        if (r < 0)
                return r;
        if (ret->status == 429 || ret->status == 503) {
                *ret_seconds = ret->retry_after ?: LATER_SECONDS;
                return -EAGAIN;
        }
        return ret->status == 200 ? 0 : -ENOENT;
}

/* The same for TDX: the name says what it is. */
static int fetch_tdx(FetchChild *f, HttpClient *client, const TdPcsItem *item, const char *name,
                unsigned *ret_seconds) {
        const TdPcs pcs = { .cache = f->args->kds_cache, .root = f->intel, .now = (int64_t) time(NULL) };
        _cleanup_(http_answer_done) HttpAnswer answer = {};
        _cleanup_free_ char *url = NULL, *file = NULL;
        size_t n;
        int r = td_pcs_address(item, f->args->pcs_url, &url);

        if (r >= 0)
                r = download(client, url, td_pcs_header(item->kind), &answer, ret_seconds);
        if (r >= 0) {
                const TdPcsAnswer got = {
                        .body = answer.body, .size = answer.size, .header = answer.header
                };

                r = td_pcs_form_write(item->kind, &got, &file, &n, NULL);
        }
        return r < 0 ? r : td_pcs_store(&pcs, name, file, n, NULL);
}

/* "NAME PATH": for SEV-SNP the cache takes only what verifies up to a pinned root under that name. */
static int fetch_snp(FetchChild *f, HttpClient *client, const char *what, size_t name_size,
                unsigned *ret_seconds) {
        const SnpKds kds = { .cache = f->args->kds_cache, .trust = &f->trust, .now = (int64_t) time(NULL) };
        _cleanup_(http_answer_done) HttpAnswer answer = {};
        _cleanup_free_ char *url = NULL, *name = strndup(what, name_size);
        TdPcsItem item;
        int r;

        if (name && td_pcs_file_parse(name, &item) >= 0)
                return fetch_tdx(f, client, &item, name, ret_seconds);
        if (!name || asprintf(&url, "%s%s", f->args->kds_url ?: KDS_URL, what + name_size + 1) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        r = download(client, url, NULL, &answer, ret_seconds);
        return r < 0 ? r : snp_kds_store(&kds, name, answer.body, answer.size, NULL);
}

/* A chip's id (SEV), or "NAME PATH" (SEV-SNP). */
static int fetch(FetchChild *f, HttpClient *client, const char *what, unsigned *ret_seconds) {
        _cleanup_(http_answer_done) HttpAnswer answer = {};
        _cleanup_free_ char *url = NULL, *file = NULL;
        const char *blank = strchr(what, ' ');
        int r;

        if (blank)
                return fetch_snp(f, client, what, (size_t) (blank - what), ret_seconds);
        if (asprintf(&url, "%s/cek/id/%s", f->args->kds_url ?: KDS_URL, what) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        if (asprintf(&file, "%s/cek-%s.cert", f->args->cek_store, what) < 0) {
                file = NULL;
                return -ENOMEM;
        }
        r = download(client, url, NULL, &answer, ret_seconds);
        if (r == 0 &&
                        (!is_good_cek(f, answer.body, answer.size) ||
                                        is_stored(file, answer.body, answer.size)))
                r = -ENOENT;
        return r < 0 ? r : file_write_atomic(file, answer.body, answer.size, 0644, ATOMIC_FILE_REPLACE);
}

/* It talks to the network. */
static int confine_child(const AttestdArgs *a) {
        const char *stores[2];
        size_t n = 0;

        if (a->cek_store)
                stores[n++] = a->cek_store;
        if (a->kds_cache)
                stores[n++] = a->kds_cache;
        return daemon_confine_fetcher(stores, n);
}

/* What the child tells of one request. As long as the key service wants to be left alone, it is. */
static int answer(FetchChild *f, HttpClient *client, const char *what) {
        int64_t now = (int64_t) time(NULL);
        char message[ANSWER_MAX + 1];
        unsigned seconds = 0;
        int r = -EAGAIN, n;

        if (f->not_before > now)
                seconds = (unsigned) (f->not_before - now);
        else
                r = client ? fetch(f, client, what, &seconds) : -ENOENT;
        if (r == -EAGAIN) {
                seconds = MIN(seconds, (unsigned) FETCH_LATER_MAX);
                f->not_before = now + seconds;
                n = snprintf(message, sizeof(message), "~%u:%s", seconds, what);
        } else
                n = snprintf(message, sizeof(message), "%c%s", r >= 0 ? '+' : '-', what);
        assert(n > 0 && (size_t) n < sizeof(message));
        if (send(f->fd, message, (size_t) n, MSG_NOSIGNAL) < 0)
                return -errno;
        if (r < 0 && r != -EAGAIN)
                (void) sleep(PAUSE_SECONDS);
        return 0;
}

static int child_main(void *userdata) {
        FetchChild *f = userdata;
        _cleanup_http_client_ HttpClient *client = NULL;
        char what[FETCH_WHAT_MAX + 1];

        (void) close(f->parent_fd);
        if (http_client_new(&client, NULL) < 0 || confine_child(f->args) < 0) {
                log_error("certificates cannot be fetched: libcurl is missing, or privileges cannot be given up");
                client = http_client_free(client); /* goes on, to say no */
        }
        for (;;) {
                ssize_t n = recv(f->fd, what, FETCH_WHAT_MAX, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return 0; /* the daemon is gone */
                what[n] = 0;
                if (answer(f, client, what) < 0)
                        return 1;
        }
}

/* The roots of trust of the child, read before it starts. */
static int load_trust(FetchChild *f, TrustAnchors *own, char **reterr) {
        int r = attestd_load_snp_trust(f->args, &f->trust, reterr);

        if (r >= 0)
                r = attestd_load_tdx_root(f->args, &f->intel, reterr);
        if (r >= 0)
                r = attestd_load_collateral(f->args, &f->collateral, &f->n_collateral, reterr);
        if (r >= 0 && f->args->insecure_root)
                r = platform_load_root(f->args->insecure_root, &f->root, reterr);
        *own = (TrustAnchors) { &f->root, 1 };
        f->anchors = f->args->insecure_root ? own : trust_anchors_amd();
        return r;
}

static void child_done(FetchChild *f) {
        snp_trust_done(&f->trust);
        certificate_free(f->intel);
        free(f->collateral);
}

int attestd_fetch_start(const AttestdArgs *a, AttestdFetch *f, char **reterr) {
        _cleanup_(child_done) FetchChild child = { .args = a };
        TrustAnchors own;
        int fds[2], r;

        r = load_trust(&child, &own, reterr);
        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        child.fd = fds[1];
        child.parent_fd = fds[0];
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

/* "+WHAT", "-WHAT" or "~SECONDS:WHAT". */
static void read_answer(FetchQueue *q, char *message, int64_t now) {
        char *what = message + 1, *colon = strchr(message, ':');
        uint64_t seconds = 0;

        if (message[0] == '~') {
                if (!colon)
                        return;
                *colon = 0;
                if (parse_u64(message + 1, &seconds) < 0)
                        return;
                what = colon + 1;
        }
        fetch_queue_answer(q, what,
                        message[0] == '+'                   ? FETCH_DONE
                                        : message[0] == '~' ? FETCH_LATER
                                                            : FETCH_FAILED,
                        (int64_t) MIN(seconds, (uint64_t) FETCH_LATER_MAX), now);
}

static void read_answers(AttestdFetch *f, int64_t now) {
        char message[ANSWER_MAX + 1];
        ssize_t n;

        while ((n = recv(f->fd, message, ANSWER_MAX, MSG_DONTWAIT)) > 0) {
                message[n] = 0;
                read_answer(&f->queue, message, now);
        }
}

int attestd_fetch_ask(void *userdata, const char *what, const char *peer, unsigned *ret_seconds) {
        AttestdFetch *f = userdata;
        int64_t now = (int64_t) time(NULL);
        FetchDecision d;

        read_answers(f, now);
        d = fetch_queue_ask(&f->queue, what, peer ?: "", now, ret_seconds);
        if (d != FETCH_SEND)
                return d == FETCH_WAIT;
        if (send(f->fd, what, strlen(what), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
                fetch_queue_forget(&f->queue, what);
                return errno == EAGAIN;
        }
        return 1;
}
