/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* id-blocks: a line of JSON for each row, with block and authentication as QEMU and cvmspawn take them. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "refs-export-internal.h"
#include "refs-id.h"

static int put_block(const RefsBundle *b, const RefsLaunch *l, const RefsRun *run, size_t i, Text *t) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        IdBlockFiles files;
        int r;

        refs_id_files(b, l, run, i, &files);
        r = js_build(&j, "{s:o, s:o, s:o, s:o, s:s?, s:s?}", "digest",
                        js_hex(run->digests + i * l->digest_size, l->digest_size), "vcpus",
                        js_u64(run->vcpus + i), "id-block", js_base64(files.block, sizeof(files.block)),
                        "id-auth", js_base64(files.auth, sizeof(files.auth)), "cpu-model", run->model,
                        "launch", l->name);
        if (r < 0)
                return r;
        text = js_text(j, JS_SHORT);
        if (!text)
                return -ENOMEM;
        text_put(t, text);
        text_put(t, "\n");
        return t->error;
}

int refs_export_id_blocks(
                const RefsBundle *b, _unused_ const RefsExportOptions *options, Text *t, char **reterr) {
        bool any = false;

        FOREACH_ARRAY(l, b->launches, b->n_launches)
                FOREACH_ARRAY(run, l->runs, l->n_runs)
                        for (size_t i = 0; run->id_signatures && i < run->n; i++) {
                                int r = put_block(b, l, run, i, t);

                                if (r < 0)
                                        return r;
                                any = true;
                        }
        return any ? 0
                   : error_set(reterr, -EINVAL,
                                     "id-blocks: the bundle has none; make them with 'refs build --id-key='");
}
