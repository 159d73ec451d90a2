/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What people type: encodings, numbers, sizes, times, escapes, GUIDs and lists of CPUs. What must hold: what was decoded encodes again to
 * the same text, but for the case of hexadecimal digits. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "date.h"
#include "encode.h"
#include "measure-numbers.h"
#include "strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encodings(const char *text, size_t n) {
        _cleanup_free_ uint8_t *hex = NULL, *base64 = NULL;
        _cleanup_free_ char *again = NULL, *error = NULL;
        uint8_t digest[48];
        size_t k = 0;

        if (hex_decode(text, n, &hex, &k) >= 0) {
                again = hex_encode(hex, k);
                assert(!again || (strlen(again) == n && strncasecmp(again, text, n) == 0));
                free(TAKE_PTR(again));
        }
        if (base64_decode(text, n, &base64, &k) >= 0) {
                again = base64_encode(base64, k);
                assert(!again || (strlen(again) == n && memcmp(again, text, n) == 0));
        }
        if (hex_decode_exact(text, digest, sizeof(digest)) >= 0)
                assert(n == 2 * sizeof(digest));
        assert(bytes_from_text(text, digest, sizeof(digest), &error) >= 0 || error);
}

static void guids(const char *text) {
        char again[GUID_TEXT_SIZE];
        Guid g;

        if (guid_parse(text, &g) < 0)
                return;
        guid_format(&g, again);
        assert(strcasecmp(again, text) == 0);
}

static void numbers(const char *text, size_t n) {
        _cleanup_free_ char *plain = NULL;
        size_t k, where;
        int64_t seconds;
        uint64_t v;
        unsigned u;

        assert(parse_date(text, &seconds, NULL) <= 0);
        if (parse_u64_max(text, 99, &v) >= 0)
                assert(v <= 99);
        if (parse_unsigned(text, &u) >= 0)
                assert(parse_u64(text, &v) >= 0 && v == u);
        assert(parse_boolean(text) <= 1);
        assert(parse_size(text, &v) <= 0);
        assert(parse_usec(text, &v) <= 0);
        if (unescape_c(text, n, &plain, &k, &where) >= 0)
                assert(k <= n);
}

static void cpus(const char *text) {
        _cleanup_free_ char *error = NULL, *error2 = NULL;
        _cleanup_free_ unsigned *vcpus = NULL;
        MeasureCpu *names = NULL;
        size_t n = 0;

        if (parse_vcpus(text, &vcpus, &n, &error) >= 0)
                assert(n > 0);
        n = 0;
        if (parse_cpu_names(text, &names, &n, &error2) >= 0)
                measure_cpus_free(names, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);

        assert(text);
        encodings(text, strlen(text));
        guids(text);
        numbers(text, strlen(text));
        cpus(text);
        return 0;
}
