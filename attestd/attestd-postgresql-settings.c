/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How PostgreSQL is reached: the URL, libpq's defaults and environment, and the files that are read for it. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attestd-postgresql.h"
#include "error.h"
#include "strutil.h"

static void options_freep(PQconninfoOption **o) {
        if (*o)
                pq.PQconninfoFree(*o);
}

static const char *option(const PQconninfoOption *all, const char *name) {
        for (const PQconninfoOption *o = all; o && o->keyword; o++)
                if (streq(o->keyword, name))
                        return o->val && *o->val ? o->val : NULL;
        return NULL;
}

/* argv can be read by everybody on the machine. */
static int check_url(const char *url, char **reterr) {
        _cleanup_(options_freep) PQconninfoOption *all = NULL;
        char *text = NULL;
        int r = 0;

        all = pq.PQconninfoParse(url, &text);
        if (!all) {
                if (text)
                        text_flatten(text, 200);
                r = error_set(reterr, -EINVAL, "--store: not a URL of PostgreSQL: %s",
                                text ?: "not understood");
                if (text)
                        pq.PQfreemem(text);
                return r;
        }
        if (option(all, "password") || option(all, "sslpassword"))
                return error_set(reterr, -EINVAL,
                                "--store: a password in the URL is visible to other users of this machine: put it into ~/.pgpass, or into a file that passfile=FILE in the URL names");
        return 0;
}

int pg_settings(PgStore *s, const char *url, char **reterr) {
        /* What the URL says comes after the first ones, and the last one after it. */
        const char *const settings[][2] = {
                { "gssencmode", "disable" },
                { "target_session_attrs", "read-write" },
                { "tcp_user_timeout", "4000" },
                { "fallback_application_name", "cvmspawn-attestd" },
                { "dbname", url },
                { "client_encoding", "UTF8" },
        };
        int r = check_url(url, reterr);

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(settings); i++) {
                r = strv_push(&s->keys, settings[i][0]);
                if (r >= 0)
                        r = strv_push(&s->values, settings[i][1]);
        }
        return r;
}

static int add_file(char ***files, const char *path) {
        return path && *path == '/' && access(path, R_OK) >= 0 ? strv_push(files, path) : 0;
}

int store_postgresql_needs(Store *s, char ***ret, bool *ret_network) {
        static const char *const names[] = { "passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl",
                "sslcrldir" };
        static const char *const of_home[] = { ".pgpass", ".postgresql" };
        /* Names of hosts, and the authorities of sslrootcert=system. */
        static const char *const of_network[] = { "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf",
                "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/etc/ssl", "/usr/share/ca-certificates",
                "/usr/lib", "/run/systemd/resolve" };
        _cleanup_(options_freep) PQconninfoOption *all = NULL;
        _cleanup_strv_free_ char **files = NULL;
        const char *home = getenv("HOME"), *host;
        int r;

        if (!pg(s)->connection)
                return -ENOTCONN;
        all = pq.PQconninfo(pg(s)->connection);
        if (!all)
                return -ENOMEM;
        host = option(all, "host");
        *ret_network = option(all, "hostaddr") || (host && (*host != '/' || strchr(host, ',')));
        r = add_file(&files, "/etc/passwd"); /* the name of the user */
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(names); i++)
                r = add_file(&files, option(all, names[i]));
        for (size_t i = 0; r >= 0 && home && i < ELEMENTSOF(of_home); i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s/%s", home, of_home[i]) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                r = add_file(&files, path);
        }
        for (size_t i = 0; r >= 0 && *ret_network && i < ELEMENTSOF(of_network); i++)
                r = add_file(&files, of_network[i]);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(files);
        return 0;
}
