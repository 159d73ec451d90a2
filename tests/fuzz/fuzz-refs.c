/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reference bundles, plain and in DSSE envelopes, state files, and what measure prints: what is accepted comes out of its canonical text
 * again, and is built of nothing that was refused. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "refs-build.h"
#include "refs-bundle-internal.h"
#include "refs-diff.h"
#include "refs-export.h"
#include "refs-file.h"
#include "refs-forecast.h"

static void export_all(const RefsBundle *b) {
        static const RefsExportOptions options = {};

        for (int i = 0; i < _REFS_EXPORT_MAX; i++) {
                _cleanup_free_ char *text = NULL, *error = NULL;
                size_t n;
                int r = refs_export(b, (RefsExport) i, &options, &text, &n, &error);

                /* CBOR has no last line. */
                bool binary = i == REFS_EXPORT_CORIM || i == REFS_EXPORT_VERAISON;

                assert(r == -ENOMEM || (r < 0 ? !text && error : binary || text[n - 1] == '\n'));
        }
}

static void forecast(const RefsBundle *b) {
        _cleanup_(forecast_done) Forecast f = {};
        SoftwareVersion old, qemu;
        const ForecastFirmware firmware = { "OVMF.fd", "00", NULL };
        const ForecastHost host = { &old, &qemu, &firmware, 1 };

        assert(software_version_parse("6.6.1-x", &old) == 0 &&
                        software_version_parse("8.2.2+ds", &qemu) == 0);
        assert(forecast_make(b, &host, &f) == 0 || !f.changes);
}

static void read_version(const uint8_t *data, size_t size) {
        _cleanup_free_ char *s = strndup((const char *) data, size < 64 ? size : 64);
        SoftwareVersion v;

        assert(!s || software_version_parse(s, &v) <= 0);
}

static void round_trip(const RefsBundle *b) {
        _cleanup_(refs_file_done) RefsFile again = {};
        _cleanup_free_ char *text = NULL, *second = NULL, *error = NULL;
        RefsMatch m;

        if (refs_bundle_text(b, &text) < 0)
                return;
        assert(refs_file_open(text, strlen(text), NULL, &again, &error) == 0);
        assert(refs_bundle_text(&again.bundle, &second) < 0 || strcmp(text, second) == 0);
        /* A bundle has all rows of itself. */
        {
                _cleanup_js_ Json *diff = NULL;
                bool complete = false;
                int r = refs_diff(b, &again.bundle, &diff, &complete);

                assert(r == -ENOMEM || complete);
        }
        /* Each row is found, or contradicts its family. */
        assert(refs_bundle_find(b, b->launches[0].runs[0].digests, b->launches[0].digest_size, 0, &m,
                               NULL) != 0);
}

/* Lists of digests that are cut out of the text first change nothing. */
static void read_uncut(const uint8_t *data, size_t size) {
        _cleanup_(refs_bundle_done) RefsBundle a = {}, b = {};
        _cleanup_free_ char *first = NULL, *second = NULL;
        _cleanup_js_ Json *j = NULL;
        int r = refs_bundle_parse((const char *) data, size, &a, NULL),
            k = js_parse((const char *) data, size, &j, NULL);

        if (k >= 0)
                k = refs_bundle_read(j, NULL, &b, NULL);
        assert(r == -ENOMEM || k == -ENOMEM || r == k);
        if (r == 0 && k == 0 && refs_bundle_text(&a, &first) >= 0 && refs_bundle_text(&b, &second) >= 0)
                assert(strcmp(first, second) == 0);
}

static void build(const uint8_t *data, size_t size) {
        _cleanup_(refs_bundle_done) RefsBundle b = {};
        _cleanup_free_ char *error = NULL;
        _cleanup_js_ Json *j = NULL;

        if (refs_read_json((const char *) data, size, &j, NULL) < 0)
                return;
        if (refs_build_add(&b, j, 8, &error) < 0 && refs_is_bundle(j))
                assert(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(refs_file_done) RefsFile f = {};
        _cleanup_free_ char *error = NULL;
        RefsState state;
        int r = refs_file_open((const char *) data, size, NULL, &f, &error);

        assert(r == 0 || error || r == -ENOMEM);
        if (r == 0) {
                assert(f.bundle.n_launches > 0 && f.bundle.n_rows > 0);
                round_trip(&f.bundle);
                export_all(&f.bundle);
                forecast(&f.bundle);
        }
        read_version(data, size);
        build(data, size);
        read_uncut(data, size);
        r = refs_state_read((const char *) data, size, &state, NULL);
        assert(r <= 0);
        return 0;
}
