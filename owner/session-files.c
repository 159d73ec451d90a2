/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session-files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "atomic-file.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "secret-file.h"

#define FILE_MAX 4096u /* a session as base64 text has 172 bytes */

static const char *const suffixes[] = {
        [SESSION_FILE_TIK] = "_tik.bin",
        [SESSION_FILE_TEK] = "_tek.bin",
        [SESSION_FILE_GODH] = "_godh.b64",
        [SESSION_FILE_SESSION] = "_session.b64",
};
static_assert(ELEMENTSOF(suffixes) == _SESSION_FILE_MAX, "each file has a name");

char *session_file_path(const char *folder, const char *name, SessionFile file) {
        char *path;

        return asprintf(&path, "%s/%s%s", folder, name, suffixes[file]) < 0 ? NULL : path;
}

typedef struct Paths {
        char *items[_SESSION_FILE_MAX]; /* owned */
} Paths;

static void paths_done(Paths *p) {
        FOREACH_ARRAY(i, p->items, ELEMENTSOF(p->items))
                free(*i);
}

int session_files_write(const char *folder, const char *name, const SevSession *session, const char *remedy,
                char **reterr) {
        _cleanup_free_ char *godh = base64_encode(session->godh, sizeof(session->godh));
        _cleanup_free_ char *blob = base64_encode(session->blob, sizeof(session->blob));
        _cleanup_(paths_done) Paths paths = {};
        size_t failed;
        int r;

        if (!godh || !blob)
                return -ENOMEM;
        AtomicFile files[] = {
                [SESSION_FILE_TIK] = { .data = session->keys.tik, .size = SEV_KEY_SIZE },
                [SESSION_FILE_TEK] = { .data = session->keys.tek, .size = SEV_KEY_SIZE },
                [SESSION_FILE_GODH] = { .data = godh, .size = strlen(godh) },
                [SESSION_FILE_SESSION] = { .data = blob, .size = strlen(blob) },
        };
        for (SessionFile f = 0; f < _SESSION_FILE_MAX; f++) {
                paths.items[f] = session_file_path(folder, name, f);
                if (!paths.items[f])
                        return -ENOMEM;
                files[f].path = paths.items[f];
                files[f].mode = 0600;
        }
        r = files_write_atomic(files, ELEMENTSOF(files), ATOMIC_FILE_EXACT_MODE, &failed);
        if (r == -EEXIST)
                return error_set(reterr, r,
                                "'%s' exists and is not replaced: every launch needs new keys, %s",
                                files[failed].path, remedy);
        return r < 0 ? error_set(reterr, r, "cannot write '%s': %s", files[failed].path, strerror(-r)) : 0;
}

static int read_key(const char *folder, const char *name, SessionFile file, uint8_t ret[static SEV_KEY_SIZE],
                char **reterr) {
        _cleanup_free_ char *path = session_file_path(folder, name, file);
        _cleanup_(secret_buf_done) SecretBuf b = {};
        int r;

        if (!path)
                return -ENOMEM;
        r = secret_buf_read_path(&b, path, FILE_MAX);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        if (b.size != SEV_KEY_SIZE)
                return error_set(reterr, -EINVAL, "'%s': expected a key of %u bytes, got %zu", path,
                                SEV_KEY_SIZE, b.size);
        memcpy(ret, b.data, SEV_KEY_SIZE);
        return 0;
}

int session_files_read(const char *folder, const char *name, SevKeys *ret,
                uint8_t ret_blob[static SEV_SESSION_SIZE], char **reterr) {
        _cleanup_free_ char *path = session_file_path(folder, name, SESSION_FILE_SESSION), *text = NULL;
        size_t size;
        bool binary;
        int r;

        if (!path)
                return -ENOMEM;
        r = file_read_all(path, FILE_MAX, &text, &size);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        r = sev_session_read(text, size, ret_blob, &binary, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "'%s'", path);
        r = read_key(folder, name, SESSION_FILE_TIK, ret->tik, reterr);
        return r < 0 ? r : read_key(folder, name, SESSION_FILE_TEK, ret->tek, reterr);
}
