/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "control-guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "strutil.h"
#include "verb.h"

#define SOCKET "control"

void control_guest_done(ControlGuest *g) {
        varlink_connection_done(&g->connection);
        free(g->name);
        free(g->path);
        free(g->state);
        *g = (ControlGuest) { .connection = VARLINK_CONNECTION_NONE };
}

void control_guests_done(ControlGuests *l) {
        for (size_t i = 0; i < l->n_guests; i++)
                control_guest_done(l->guests + i);
        free(l->guests);
        *l = (ControlGuests) {};
}

/* The user's own first. */
static int runtime_folders(char ***ret) {
        _cleanup_strv_free_ char **folders = NULL;
        const char *own = getenv("XDG_RUNTIME_DIR");
        int r = own && *own == '/' ? strv_pushf(&folders, "%s/cvmspawn", own) : 0;

        if (r >= 0)
                r = strv_push(&folders, "/run/cvmspawn");
        if (r >= 0)
                *ret = TAKE_PTR(folders);
        return r;
}

/* Connects to FOLDER/control. Stale sockets, and no socket at all, are -ESRCH. */
static int open_guest(const char *folder, const char *socket_name, const char *name, ControlGuest *ret) {
        _cleanup_(control_guest_done) ControlGuest g = { .connection = VARLINK_CONNECTION_NONE };
        _cleanup_close_ int fd = fd_open(folder, O_PATH | O_DIRECTORY, 0);
        struct ucred peer;
        socklen_t size = sizeof(peer);
        int r = fd < 0 ? fd : 0;

        if (r >= 0)
                r = varlink_connection_open(fd, socket_name, &g.connection);
        if (r == -ENOENT || r == -ENOTDIR || r == -ECONNREFUSED)
                return -ESRCH;
        g.error = r;
        if (r >= 0 && getsockopt(g.connection.fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) >= 0)
                g.pid = peer.pid;
        g.name = strdup(name);
        if (!g.name || asprintf(&g.path, "%s/%s", folder, socket_name) < 0) {
                g.path = NULL;
                return -ENOMEM;
        }
        *ret = TAKE_STRUCT(g, ((ControlGuest) { .connection = VARLINK_CONNECTION_NONE }));
        return 0;
}

static int add_guest(ControlGuests *l, const char *base, const char *name) {
        _cleanup_free_ char *folder = NULL;
        ControlGuest *grown, g;
        int r;

        if (asprintf(&folder, "%s/%s", base, name) < 0) {
                folder = NULL;
                return -ENOMEM;
        }
        r = open_guest(folder, SOCKET, name, &g);
        if (r < 0)
                return r == -ESRCH ? 0 : r;
        grown = realloc(l->guests, (l->n_guests + 1) * sizeof(*grown));
        if (!grown) {
                control_guest_done(&g);
                return -ENOMEM;
        }
        l->guests = grown;
        l->guests[l->n_guests++] = g;
        return 0;
}

static int add_folder(ControlGuests *l, const char *base, char **reterr) {
        DIR *d = opendir(base);
        int r = 0;

        if (!d)
                return errno == ENOENT ? 0 : error_set(reterr, -errno, "cannot read '%s': %m", base);
        for (struct dirent *e; r >= 0 && (e = readdir(d));)
                if (e->d_name[0] != '.')
                        r = add_guest(l, base, e->d_name);
        (void) closedir(d);
        return r;
}

static int by_name(const void *a, const void *b) {
        const ControlGuest *x = a, *y = b;
        int r = strcmp(x->name, y->name);

        return r != 0 ? r : strcmp(x->path, y->path);
}

static int send_describe(ControlGuest *g, uint64_t deadline) {
        return g->error < 0 ? g->error
                            : varlink_connection_call(&g->connection, CONTROL_INSTANCE ".Describe", NULL,
                                              /* more= */ false, deadline);
}

static const char *state_of_error(int error) {
        return error == -EACCES ? "not permitted" : error == -ETIMEDOUT ? "starting" : "unknown";
}

static void receive_state(ControlGuest *g, uint64_t deadline) {
        _cleanup_(varlink_reply_done) VarlinkReply reply = {};
        const char *state = NULL;

        if (g->error >= 0)
                g->error = varlink_connection_receive(&g->connection, deadline, &reply);
        if (g->error >= 0 && reply.error)
                g->error = -EREMOTEIO;
        if (g->error >= 0) {
                state = js_string_value(js_get(reply.parameters, "status"));
                if (js_bool_value(js_get(reply.parameters, "running"), &g->running) < 0)
                        g->running = false;
        }
        free(g->state);
        g->state = strdup(state ?: state_of_error(g->error));
}

void control_ask(ControlGuest *g) {
        uint64_t deadline = varlink_usec() + CONTROL_ANSWER_USEC;

        g->error = send_describe(g, deadline);
        receive_state(g, deadline);
}

int control_find_all(ControlGuests *ret, char **reterr) {
        _cleanup_(control_guests_done) ControlGuests l = {};
        _cleanup_strv_free_ char **folders = NULL;
        uint64_t deadline;
        int r = runtime_folders(&folders);

        STRV_FOREACH(f, folders)
                if (r >= 0)
                        r = add_folder(&l, *f, reterr);
        if (r < 0)
                return r;
        if (l.n_guests > 0)
                qsort(l.guests, l.n_guests, sizeof(*l.guests), by_name);
        /* All are asked before the first answer is waited for. */
        deadline = varlink_usec() + CONTROL_ANSWER_USEC;
        for (size_t i = 0; i < l.n_guests; i++)
                l.guests[i].error = send_describe(l.guests + i, deadline);
        for (size_t i = 0; i < l.n_guests; i++)
                receive_state(l.guests + i, deadline);
        *ret = TAKE_STRUCT(l, (ControlGuests) {});
        return 0;
}

/* PATH of a socket. */
static int find_path(const char *path, ControlGuest *ret) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *folder = slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));

        return folder ? open_guest(folder, slash + 1, path, ret) : -ENOMEM;
}

static int find_name(const char *name, ControlGuest *ret) {
        _cleanup_strv_free_ char **folders = NULL;
        int r = runtime_folders(&folders);

        if (r < 0)
                return r;
        STRV_FOREACH(f, folders) {
                _cleanup_free_ char *folder = NULL;

                if (asprintf(&folder, "%s/%s", *f, name) < 0) {
                        folder = NULL;
                        return -ENOMEM;
                }
                r = open_guest(folder, SOCKET, name, ret);
                if (r != -ESRCH)
                        return r;
        }
        return -ESRCH;
}

int control_find(const char *name, ControlGuest *ret, char **reterr) {
        ControlGuest g;
        int r;

        if (!*name || *name == '.')
                return error_set(reterr, -EINVAL,
                                "'%s' is neither a machine name nor the path of a control socket", name);
        r = strchr(name, '/') ? find_path(name, &g) : find_name(name, &g);
        if (r == -ESRCH)
                return error_set(reterr, r,
                                "guest '%s' is not running; 'cvmspawn list' shows those that are", name);
        if (r < 0)
                return error_set(reterr, r, "cannot look for guest '%s': %s", name, strerror(-r));
        if (g.error < 0) {
                r = g.error;
                error_set(reterr, r, "cannot connect to '%s': %s%s", g.path, strerror(-r),
                                r == -EACCES ? "; only its owner may" : "");
                control_guest_done(&g);
                return r;
        }
        *ret = g;
        return 0;
}

/* The answer of a call. */
static int receive(ControlGuest *g, const char *method, uint64_t deadline, char **reterr) {
        _cleanup_(varlink_reply_done) VarlinkReply reply = {};
        int r = varlink_connection_receive(&g->connection, deadline, &reply);

        if (r == -ETIMEDOUT)
                return error_set(reterr, r, "guest '%s' does not answer %s: is it still starting?", g->name,
                                method);
        if (r < 0)
                return error_set(reterr, r, "guest '%s' does not answer %s: %s", g->name, method,
                                r == -ECONNRESET ? "it has ended" : strerror(-r));
        if (reply.error)
                return error_set(reterr, -EREMOTEIO, "guest '%s' refused %s: %s", g->name, method,
                                reply.error);
        return 0;
}

static int send_call(ControlGuest *g, const char *method, Json *parameters, bool more, uint64_t deadline,
                char **reterr) {
        _cleanup_free_ char *full = NULL;
        int r;

        if (asprintf(&full, CONTROL_INSTANCE ".%s", method) < 0) {
                full = NULL;
                js_unref(parameters);
                return -ENOMEM;
        }
        r = varlink_connection_call(&g->connection, full, parameters, more, deadline);
        return r < 0 ? error_set(reterr, r, "cannot send %s to guest '%s': %s", method, g->name,
                                       r == -ECONNRESET ? "it has ended" : strerror(-r))
                     : 0;
}

int control_call(ControlGuest *g, const char *method, uint64_t deadline, char **reterr) {
        int r = send_call(g, method, NULL, /* more= */ false, deadline, reterr);

        return r < 0 ? r : receive(g, method, deadline, reterr);
}

int control_subscribe(ControlGuest *g, char *const *events, uint64_t deadline, char **reterr) {
        Json *parameters = NULL;
        int r;

        if (events) {
                r = js_build(&parameters, "{s:o}", "filter", js_strv(events));
                if (r < 0)
                        return r;
        }
        r = send_call(g, "SubscribeEvents", parameters, /* more= */ true, deadline, reterr);
        return r < 0 ? r : receive(g, "SubscribeEvents", deadline, reterr);
}

int control_guest_json(const ControlGuest *g, Json **ret) {
        return js_build(ret, "{s:s, s:s, s:b, s:o, s:s}", "name", g->name, "state", g->state, "running",
                        g->running, "pid", g->pid > 0 ? js_u64((uint64_t) g->pid) : js_null(), "socket",
                        g->path);
}

int control_failed(int r, char **reterr) {
        return r == -ESRCH ? verb_failed(CONTROL_NOT_RUNNING, r, reterr) : r;
}
