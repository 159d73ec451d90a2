/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Users of the host for the guest (--bind-user=): what the host's user database says of them, and the credentials by which the guest's systemd
 * learns of them, systemd.system-credentials(7): userdb.transient.user.NAME and userdb.transient.group.NAME. */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <shadow.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "resolve-parts.h"
#include "strutil.h"

#define ENTRY_MAX (64u * 1024u) /* bytes of an entry: groups with many members are long, users are not */

/* crypt(5): other texts are no hashes, but say that the password is locked or empty. */
static bool is_hash(const char *s) {
        const char *p = s;

        if (strlen(s) < 13 || !(*s == '$' || *s == '_' || strlen(s) == 13))
                return false;
        while (*p > ' ' && *p < 127 && !strchr("\"\\:;*!", *p))
                p++;
        return *p == 0;
}

/* Only root can read it: other users' guests get none. */
static int read_password(BindUser *u, char *buffer) {
        struct spwd entry, *found = NULL;
        int r = 0;

        if (getspnam_r(u->name, &entry, buffer, ENTRY_MAX, &found) == 0 && found && is_hash(entry.sp_pwdp)) {
                u->password = strdup(entry.sp_pwdp);
                r = u->password ? 0 : -ENOMEM;
        }
        erase_memory(buffer, ENTRY_MAX);
        return r;
}

static int resolve_user(BindUser *u, char *buffer, char **reterr) {
        struct passwd entry, *found = NULL;
        int e = getpwnam_r(u->name, &entry, buffer, ENTRY_MAX, &found);

        if (!found)
                return error_set(reterr, e ? -e : -ESRCH, "--bind-user: this host has no user '%s'%s%s",
                                u->name, e ? ": " : "", e ? strerror(e) : "");
        if (entry.pw_uid == 0)
                return error_set(reterr, -EINVAL,
                                "--bind-user: '%s' has the user id of root: name a user without privileges",
                                u->name);
        u->uid = entry.pw_uid;
        u->gid = entry.pw_gid;
        u->home = strdup(entry.pw_dir);
        u->shell = *entry.pw_shell ? strdup(entry.pw_shell) : NULL;
        if (!u->home || (*entry.pw_shell && !u->shell))
                return -ENOMEM;
        return read_password(u, buffer);
}

int resolve_users(VmConfig *config, char **reterr) {
        _cleanup_free_ char *buffer = NULL;
        int r = 0;

        if (config->n_bind_users == 0)
                return 0;
        buffer = malloc(ENTRY_MAX);
        if (!buffer)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_bind_users && r >= 0; i++)
                if (!config->bind_users[i].home)
                        r = resolve_user(config->bind_users + i, buffer, reterr);
        return r;
}

/* One that the user passes counts. */
static int add(CredentialSet *set, const char *kind, const char *name, SecretBuf *value, char **reterr) {
        char id[CREDENTIAL_NAME_MAX + 1];

        (void) snprintf(id, sizeof(id), "userdb.transient.%s.%s", kind, name);
        return credential_set_find(set, id) ? 0 : credential_set_add(set, id, value, reterr);
}

int resolve_user_credentials(const VmConfig *config, CredentialSet *set, char **reterr) {
        int r = 0;

        for (size_t i = 0; i < config->n_bind_users && r >= 0; i++) {
                _cleanup_(secret_buf_done) SecretBuf user = {}, group = {};
                const BindUser *u = config->bind_users + i;

                r = vm_config_user_record(config, u, &user);
                if (r >= 0)
                        r = vm_config_group_record(u, &group);
                if (r >= 0)
                        r = add(set, "user", u->name, &user, reterr);
                if (r >= 0)
                        r = add(set, "group", u->name, &group, reterr);
        }
        return r;
}
