/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files that all commands read and write, and their exit statuses. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "atomic-file.h"
#include "error.h"
#include "input.h"
#include "refs-id.h"
#include "refs.h"
#include "sign-files.h"
#include "strutil.h"

int refs_read(const char *path, char **ret, size_t *ret_size, char **reterr) {
        return input_read(NULL, path, REFS_SIZE_MAX, ret, ret_size, reterr);
}

static int read_signers(const RefsArguments *a, Signers *s, char **reterr) {
        int r = signers_read("signer", a->signers, s, reterr);

        if (r < 0)
                return r;
        if (a->threshold > s->n_keys)
                return error_set(reterr, -EINVAL, "--threshold=%u is more than the %zu key%s of --signer",
                                a->threshold, s->n_keys, s->n_keys == 1 ? "" : "s");
        return 0;
}

int refs_open(const RefsArguments *a, const char *path, RefsFile *ret, char **reterr) {
        _cleanup_(signers_done) Signers signers = {};
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = read_signers(a, &signers, reterr);

        if (r >= 0)
                r = refs_read(path, &text, &size, reterr);
        if (r < 0)
                return r;
        r = refs_file_open(text, size,
                        &(RefsSigners) { signers.keys, signers.n_keys,
                                        a->threshold ?: (unsigned) signers.n_keys },
                        ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "%s", path) : 0;
}

int refs_check_sound(const RefsBundle *b, char **reterr) {
        if (refs_bundle_check_families(b, reterr) < 0)
                return -ESTALE;
        return b->id.given && refs_id_verify(b, reterr) < 0 ? -ESTALE : 0;
}

char *refs_title(const RefsBundle *b) {
        char *title = strdup(b->name ?: "bundle");

        text_flatten(title, SIZE_MAX);
        return title;
}

int refs_write(const RefsArguments *a, const char *text, size_t size, char **reterr) {
        int r;

        if (!a->output)
                return fwrite(text, 1, size, stdout) == size ? 0 : -EIO;
        r = file_write_atomic(a->output, text, size, 0666, ATOMIC_FILE_REPLACE);
        return r < 0 ? error_set(reterr, r, "--output: cannot write '%s': %s", a->output, strerror(-r)) : 0;
}

int refs_status(int r, char **reterr) {
        if (r == -EKEYREJECTED)
                return verb_failed(REFS_NOT_AUTHENTIC, r, reterr);
        return r == -ETIME || r == -ESTALE ? verb_failed(REFS_NOT_MET, r, reterr) : r;
}
