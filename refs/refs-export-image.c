/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The formats of those who publish a confidential image with its measurements.
 *
 *   c8s       the measurements file of c8s (schema_version 1, as of 2026-08): {"tee", "measurements": [{"name", "measurement"}]}, or {"name", "mrtd", "rtmr"}
 *             for TDX, where rtmr[0] must not be pinned. Names and values are unique, and a file is for one technology.
 *   tinfoil   what Tinfoil's verifier compares of its predicate snp-tdx-multiplatform/v1 (as of 2026-08): one SNP digest, RTMR1 and RTMR2 of one TD */

#include <errno.h>
#include <stdio.h>

#include "encode.h"
#include "error.h"
#include "refs-export-internal.h"
#include "refs-registers.h"

static int put_json(Text *t, const Json *j) {
        _cleanup_free_ char *text = js_text(j, JS_SHORT);

        if (!text)
                return -ENOMEM;
        text_put(t, text);
        text_put(t, "\n");
        return 0;
}

static bool has_mode(const RefsBundle *b, CocoMode mode) {
        FOREACH_ARRAY(l, b->launches, b->n_launches)
                if (l->mode == mode)
                        return true;
        return false;
}

typedef struct Entries {
        CocoMode mode;
        Json *list, *seen; /* weak */
} Entries;

/* [null, RTMR1, RTMR2] */
static int put_registers(Json *entry, const RefsLaunch *l) {
        _cleanup_js_ Json *list = js_array();
        int r = list ? js_append(list, js_null()) : -ENOMEM;

        for (size_t i = 1; r >= 0 && i < REFS_REGISTERS; i++)
                r = js_append(list, js_string(refs_register(l, i)));
        return r < 0 ? r : js_set(entry, "rtmr", TAKE_PTR(list));
}

/* Without both only the firmware would be pinned. */
static int check_registers(const char *format, const RefsLaunch *l, char **reterr) {
        return refs_register(l, 1) && refs_register(l, 2)
                        ? 0
                        : error_set(reterr, -EINVAL,
                                          "%s: a tdx launch has no rtmr1 or no rtmr2: predict them with --edk2=",
                                          format);
}

/* A number first: names are unique, and those of bundles need not be. */
static int put_name(const Entries *e, Json *entry, const RefsLaunch *l, const RefsRun *run, size_t i) {
        _cleanup_free_ char *row = NULL, *name = NULL;
        _cleanup_(text_done) Text t = {};
        int r = refs_row_text(run, i, &row);

        if (r < 0)
                return r;
        text_putf(&t, "%zu: %s", js_length(e->list) + 1, l->name ?: coco_mode_to_string(l->mode));
        if (run->vcpus > 0)
                text_putf(&t, ", %s", row);
        r = text_finish(&t, &name);
        return r < 0 ? r : js_set(entry, "name", js_string(name));
}

static int is_new(Json *seen, const RefsLaunch *l, const char *hex) {
        _cleanup_free_ char *key = NULL;
        int r = asprintf(&key, "%s %s %s", hex, refs_register(l, 1) ?: "", refs_register(l, 2) ?: "");

        if (r < 0) {
                key = NULL;
                return -ENOMEM;
        }
        if (js_get(seen, key))
                return 0;
        r = js_set(seen, key, js_null());
        return r < 0 ? r : 1;
}

static int put_entry(
                void *userdata, const RefsLaunch *l, const RefsRun *run, size_t i, const uint8_t *digest) {
        bool td = coco_of(l->mode)->event_log;
        Entries *e = userdata;
        _cleanup_free_ char *hex = hex_encode(digest, l->digest_size);
        _cleanup_js_ Json *entry = js_object();
        int r;

        if (!hex || !entry)
                return -ENOMEM;
        r = l->mode == e->mode ? is_new(e->seen, l, hex) : 0;
        if (r <= 0)
                return r;
        r = put_name(e, entry, l, run, i);
        if (r >= 0)
                r = js_set(entry, td ? "mrtd" : "measurement", js_string(hex));
        if (r >= 0 && td)
                r = put_registers(entry, l);
        return r < 0 ? r : js_append(e->list, TAKE_PTR(entry));
}

int refs_export_c8s(const RefsBundle *b, _unused_ const RefsExportOptions *options, Text *t, char **reterr) {
        bool snp = has_mode(b, COCO_SEV_SNP), tdx = has_mode(b, COCO_TDX);
        _cleanup_js_ Json *list = js_array(), *seen = js_object(), *file = NULL;
        Entries e = { snp ? COCO_SEV_SNP : COCO_TDX, list, seen };
        int r = list && seen ? 0 : -ENOMEM;

        if (snp == tdx)
                return error_set(reterr, -EINVAL,
                                snp ? "c8s: the bundle has sev-snp and tdx launches, and a file of c8s describes one of them: build a bundle for each"
                                    : "c8s: the bundle has no sev-snp or tdx launch");
        FOREACH_ARRAY(l, b->launches, b->n_launches)
                if (r >= 0 && l->mode == COCO_TDX)
                        r = check_registers("c8s", l, reterr);
        if (r >= 0)
                r = refs_each_row(b, put_entry, &e);
        if (r >= 0)
                r = js_build(&file, "{s:s, s:s, s:O}", "schema_version", "1", "tee",
                                coco_mode_to_string(e.mode), "measurements", list);
        return r < 0 ? r : put_json(t, file);
}

/* The only launch of that technology, with one digest: 1, 0 for none, or -EINVAL. */
static int only(const RefsBundle *b, CocoMode mode, const RefsLaunch **ret, char **reterr) {
        *ret = NULL;
        FOREACH_ARRAY(l, b->launches, b->n_launches) {
                if (l->mode != mode)
                        continue;
                if (*ret || l->n_runs != 1 || l->runs->n != 1)
                        return error_set(reterr, -EINVAL,
                                        "tinfoil: the bundle has several %s digests, and the predicate has one: build a bundle for each",
                                        coco_mode_to_string(mode));
                *ret = l;
        }
        return *ret != NULL;
}

int refs_export_tinfoil(
                const RefsBundle *b, _unused_ const RefsExportOptions *options, Text *t, char **reterr) {
        _cleanup_js_ Json *j = js_object(), *registers = NULL;
        const RefsLaunch *snp, *tdx = NULL;
        int r = only(b, COCO_SEV_SNP, &snp, reterr);

        if (r >= 0)
                r = only(b, COCO_TDX, &tdx, reterr);
        if (r >= 0 && (!snp || !tdx))
                r = error_set(reterr, -EINVAL,
                                "tinfoil: the bundle has no %s launch, and a predicate that lacks one of sev-snp and tdx is refused by its verifiers",
                                snp ? "tdx" : "sev-snp");
        if (r >= 0)
                r = check_registers("tinfoil", tdx, reterr);
        if (r >= 0 && !j)
                r = -ENOMEM;
        if (r >= 0)
                r = js_set(j, "snp_measurement", js_hex(snp->runs->digests, snp->digest_size));
        if (r >= 0)
                r = js_build(&registers, "{s:s, s:s}", "rtmr1", refs_register(tdx, 1), "rtmr2",
                                refs_register(tdx, 2));
        if (r >= 0)
                r = js_set(j, "tdx_measurement", TAKE_PTR(registers));
        return r < 0 ? r : put_json(t, j);
}
