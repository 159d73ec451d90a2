/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which keys in the owner's folder belong to a domain: the session in its configuration says it, whatever the files are called. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "attest-domain.h"
#include "attest-session.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"

#define SUFFIX           "_session.b64"
#define SESSION_TEXT_MAX 1024u  /* 172 characters, and white space */
#define FOLDER_FILES_MAX 65536u /* a folder with more needs cleaning up */

static int same_session(
                const char *folder, const char *name, const uint8_t wanted[static SEV_SESSION_SIZE]) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        uint8_t blob[SEV_SESSION_SIZE];
        bool binary;
        size_t size;

        if (asprintf(&path, "%s/%s", folder, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        /* A file that is not a session file is not the one that is searched. */
        if (file_read_all(path, SESSION_TEXT_MAX, &text, &size) < 0 ||
                        sev_session_read(text, size, blob, &binary, NULL) < 0)
                return 0;
        return memcmp(blob, wanted, sizeof(blob)) == 0;
}

static int search(DIR *dir, const char *folder, const uint8_t wanted[static SEV_SESSION_SIZE], char **ret) {
        for (unsigned i = 0; i < FOLDER_FILES_MAX; i++) {
                const struct dirent *e = readdir(dir);
                size_t n;
                int r;

                if (!e)
                        break;
                n = strlen(e->d_name);
                if (!endswith(e->d_name, SUFFIX) || n == strlen(SUFFIX))
                        continue;
                r = same_session(folder, e->d_name, wanted);
                if (r < 0)
                        return r;
                if (r > 0) {
                        *ret = strndup(e->d_name, n - strlen(SUFFIX));
                        return *ret ? 0 : -ENOMEM;
                }
        }
        return -ENOENT;
}

int domain_session_name(const char *folder, const char *session, char **ret, char **reterr) {
        uint8_t wanted[SEV_SESSION_SIZE];
        bool binary;
        DIR *dir;
        int r;

        r = sev_session_read(session, strlen(session), wanted, &binary, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "the session in the domain's configuration");
        dir = opendir(folder);
        if (!dir)
                return error_set(reterr, -errno, "cannot read '%s': %s", folder, strerror(errno));
        r = search(dir, folder, wanted, ret);
        (void) closedir(dir);
        if (r == -ENOENT)
                return error_set(reterr, r,
                                "no session in '%s' is the one that the domain was started with: its keys are in another folder, or the host used another session",
                                folder);
        return r;
}

int domain_new_name(const Domain *d, char **ret) {
        struct tm tm;
        time_t now = time(NULL);
        char text[32];

        if (!gmtime_r(&now, &tm) || strftime(text, sizeof(text), "%Y%m%dT%H%M%SZ", &tm) == 0)
                return -EOVERFLOW;
        if (asprintf(ret, "%s-%s", d->info.name, text) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}
