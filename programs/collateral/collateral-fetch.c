/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A process of the mirror that talks to AMD's key service, or to Intel's PCS. It writes the cache; the one that talks to clients cannot write it. A request
 * is the name of a file of the cache, a blank, and its path at the service; the answer is a CollateralFetched. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collateral.h"
#include "daemon.h"
#include "error.h"
#include "fd.h"
#include "http-client.h"
#include "log.h"
#include "strutil.h"

#define TIMEOUT_SECONDS 20u
#define MESSAGE_MAX     (COLLATERAL_NAME_MAX + COLLATERAL_PATH_MAX)

typedef struct FetchChild {
        const CollateralArgs *args;
        const CollateralStore *store;
        int fd;
        const int *parents; /* descriptors of the other process, up to one below 0 */
} FetchChild;

static void say(CollateralFetched *f, CollateralOutcome outcome, const char *why) {
        f->outcome = outcome;
        (void) snprintf(f->why, sizeof(f->why), "%s", why);
        text_flatten(f->why, sizeof(f->why) - 1);
}

/* Only what verifies up to a pinned root under this name is stored, and no list that is older than the one we have. */
static void keep(const FetchChild *c, const HttpAnswer *a, CollateralFetched *ret) {
        const TdPcsAnswer from_pcs = { .body = a->body, .size = a->size, .header = a->header };
        _cleanup_free_ char *why = NULL, *file = NULL;
        const void *p = a->body;
        size_t n = a->size;
        TdPcsItem item;
        int r = 0;

        if (td_pcs_file_parse(ret->name, &item) >= 0) {
                r = td_pcs_form_write(item.kind, &from_pcs, &file, &n, &why);
                p = file;
        }
        if (r >= 0)
                r = collateral_store_put(c->store, ret->name, p, n, &why);
        if (r >= 0)
                say(ret, COLLATERAL_STORED, "");
        else
                say(ret,
                                r == -EKEYREJECTED || r == -ESTALE || r == -EBADMSG ? COLLATERAL_WRONG
                                                                                    : COLLATERAL_LATER,
                                why ?: strerror(-r));
}

static void fetch(const FetchChild *c, HttpClient *client, const char *path, CollateralFetched *ret) {
        _cleanup_(http_answer_done) HttpAnswer a = {};
        _cleanup_free_ char *url = NULL, *why = NULL;
        HttpRequest q = { .method = "GET", .timeout_seconds = TIMEOUT_SECONDS };
        TdPcsItem item;
        int r;

        if (td_pcs_file_parse(ret->name, &item) >= 0) {
                q.header = td_pcs_header(item.kind);
                r = td_pcs_address(&item, c->args->pcs_url, &url);
        } else
                r = asprintf(&url, "%s%s", c->args->kds_url ?: SNP_KDS_URL, path);
        if (r < 0) {
                url = NULL;
                return say(ret, COLLATERAL_LATER, "out of memory");
        }
        q.url = url;
        r = http_client_request(client, &q, SNP_KDS_ANSWER_MAX, &a, &why);
        if (r < 0)
                return say(ret, r == -E2BIG ? COLLATERAL_WRONG : COLLATERAL_LATER, why ?: strerror(-r));
        if (a.status == 200)
                return keep(c, &a, ret);
        ret->msec = (uint64_t) a.retry_after * 1000;
        (void) snprintf(ret->why, sizeof(ret->why), "answer %u", a.status);
        ret->outcome = a.status == 404                       ? COLLATERAL_ABSENT
                        : a.status == 429 || a.status >= 500 ? COLLATERAL_LATER
                                                             : COLLATERAL_WRONG;
}

static int answer(const FetchChild *c, HttpClient *client, char *message) {
        char *path = strchr(message, ' ');
        CollateralFetched f = {};

        if (!path || (size_t) (path - message) >= sizeof(f.name))
                return -EBADMSG;
        *path++ = 0;
        memcpy(f.name, message, strlen(message) + 1);
        if (client)
                fetch(c, client, path, &f);
        else
                say(&f, COLLATERAL_LATER, "libcurl is missing, or privileges cannot be given up");
        return send(c->fd, &f, sizeof(f), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int child_main(void *userdata) {
        FetchChild *c = userdata;
        _cleanup_http_client_ HttpClient *client = NULL;
        const char *cache = c->store->cache;
        char message[MESSAGE_MAX + 1];

        /* Ours, and those of children that were started before: they end when the other process does. */
        for (const int *fd = c->parents; *fd >= 0; fd++)
                (void) close(*fd);
        /* A terminal and a service manager signal both processes; this one ends with the other. */
        (void) signal(SIGINT, SIG_IGN);
        (void) signal(SIGTERM, SIG_IGN);
        if (http_client_new(&client, NULL) < 0 || daemon_confine_fetcher(&cache, 1) < 0) {
                log_error("nothing can be downloaded: libcurl is missing, or privileges cannot be given up");
                client = http_client_free(client); /* goes on, to say no */
        }
        for (;;) {
                ssize_t n = recv(c->fd, message, MESSAGE_MAX, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return 0; /* the daemon is gone */
                message[n] = 0;
                if (answer(c, client, message) < 0)
                        return 1;
        }
}

int collateral_fetch_start(const CollateralArgs *a, const CollateralStore *store,
                const CollateralFetch *before, CollateralFetch *f, char **reterr) {
        int parents[] = { -EBADF, -EBADF, -EBADF };
        FetchChild child = { .args = a, .store = store, .parents = parents };
        int fds[2], r = 0;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                r = -errno;
        if (r >= 0) {
                child.fd = fds[1];
                parents[0] = fds[0];
                parents[1] = before ? before->fd : -EBADF;
                r = process_fork(child_main, &child, &f->process);
                (void) close(fds[1]);
                f->fd = fds[0];
        }
        return r < 0 ? error_set(reterr, r, "cannot start the process that downloads: %s", strerror(-r)) : 0;
}

void collateral_fetch_done(CollateralFetch *f) {
        f->fd = fd_close(f->fd);
        process_done(&f->process);
}

int collateral_fetch_send(const CollateralFetch *f, const CollateralEntry *e) {
        char message[MESSAGE_MAX];
        int n = snprintf(message, sizeof(message), "%s %s", e->name, e->path);

        assert(n > 0 && (size_t) n < sizeof(message));
        return send(f->fd, message, (size_t) n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int collateral_fetch_receive(const CollateralFetch *f, CollateralFetched *ret) {
        CollateralFetched got;
        ssize_t n = recv(f->fd, &got, sizeof(got), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n != sizeof(got))
                return -EPIPE;
        got.name[sizeof(got.name) - 1] = got.why[sizeof(got.why) - 1] = 0;
        *ret = got;
        return 1;
}
