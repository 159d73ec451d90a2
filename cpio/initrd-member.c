/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the members of an archive say about the initrd: which init it has, and what stands where a credential has to be written. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "initrd-scan-internal.h"
#include "strutil.h"

#define CREDENTIALS_DIR   ".extra/system_credentials"
#define CREDENTIAL_SUFFIX ".cred"
/* Initrds have none; a hostile one must not make the search below quadratic. */
#define OBSTACLES_MAX 64u

#define LIBSYSTEMD_PREFIX "libsystemd-shared-"
/* systemd counts releases: anything with more digits is not a version. */
#define VERSION_DIGITS_MAX 5

/* As the kernel would create it: names are relative to the root, however they are spelled. */
static const char *relative_path(const char *path) {
        for (;;) {
                if (path[0] == '/')
                        path++;
                else if (path[0] == '.' && path[1] == '/')
                        path += 2;
                else
                        return path;
        }
}

/* NNN of .../libsystemd-shared-NNN.so, libsystemd-shared-NNN.M-R.so and the like; 0 for any other name. */
static unsigned systemd_version(const char *path) {
        const char *name = strrchr(path, '/'), *p;
        unsigned v = 0;
        size_t n;

        p = name ? startswith(name + 1, LIBSYSTEMD_PREFIX) : NULL;
        if (!p || !endswith(p, ".so"))
                return 0;
        n = strspn(p, "0123456789");
        if (n == 0 || n > VERSION_DIGITS_MAX)
                return 0;
        for (size_t i = 0; i < n; i++)
                v = v * 10 + (unsigned) (p[i] - '0');
        return v;
}

static bool is_shell(const char *path) {
        const char *p = startswith(path, "usr/") ?: path;

        return streq(p, "bin/sh") || streq(p, "sbin/sh");
}

static void note(InitrdInfo *info, const char *path) {
        unsigned version;

        if (streq(path, "etc/initrd-release"))
                info->initrd_release = true;
        else if (streq(path, "init"))
                info->has_init = true;
        else if (is_shell(path))
                info->has_sh = true;
        else {
                version = systemd_version(path);
                if (version > 0 && (info->systemd_version == 0 || version < info->systemd_version))
                        info->systemd_version = version;
        }
}

/* What the kernel cannot replace by a file: it removes a directory only if it is empty, and writes into a file that has other names
 * instead of removing it. Where in the tree this one is would depend on symbolic links, so that the name decides. */
static int note_obstacle(Scanner *s, const NewcMember *m) {
        const char *name = strrchr(m->path, '/');
        char **more;

        name = name ? name + 1 : m->path;
        if (!endswith(name, CREDENTIAL_SUFFIX) || !(S_ISDIR(m->mode) || (S_ISREG(m->mode) && m->nlink > 1)))
                return 0;
        if (s->n_obstacles >= OBSTACLES_MAX)
                return error_set(s->reterr, -E2BIG,
                                "the initrd has more than %u directories named *" CREDENTIAL_SUFFIX,
                                OBSTACLES_MAX);
        s->info.has_obstacle = true;
        more = reallocarray(s->obstacles, s->n_obstacles + 2, sizeof(*more));
        if (!more)
                return -ENOMEM;
        s->obstacles = more;
        more[s->n_obstacles + 1] = NULL;
        more[s->n_obstacles] = strdup(name);
        return more[s->n_obstacles++] ? 0 : -ENOMEM;
}

static int take_credential(Scanner *s, const NewcMember *m) {
        const char *name = startswith(relative_path(m->path), CREDENTIALS_DIR "/");

        if (name && S_ISREG(m->mode) && endswith(name, CREDENTIAL_SUFFIX))
                STRV_FOREACH(obstacle, s->obstacles)
                        if (streq(*obstacle, name))
                                return error_set(s->reterr, -EBADMSG,
                                                "the initrd has a directory or a hard link named '%s', where the credential has to be written; "
                                                "remove it from the initrd, or use another name for the credential",
                                                name);
        return note_obstacle(s, m);
}

int initrd_take_member(const NewcMember *m, void *userdata) {
        Scanner *s = userdata;
        int r;

        if (++s->n_members > INITRD_MEMBERS_MAX)
                return error_set(s->reterr, -E2BIG, "initrd has more than %ju members",
                                (uintmax_t) INITRD_MEMBERS_MAX);
        s->part.members++;

        if (s->callback) {
                const InitrdMember member = {
                        .path = m->path,
                        .part = s->info.n_parts,
                        .ino = m->ino,
                        .mode = m->mode,
                        .uid = m->uid,
                        .gid = m->gid,
                        .nlink = m->nlink,
                        .mtime = m->mtime,
                        .size = m->size,
                };

                r = s->callback(&member, s->userdata);
                if (r != 0)
                        return r;
        }
        note(&s->info, relative_path(m->path));
        return take_credential(s, m);
}
