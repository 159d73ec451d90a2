/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-format.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto-dsse.h"
#include "error.h"
#include "strutil.h"

#define PREDICATE_TYPE "tag:cvmspawn,2026:launch-digest/v1"

static int json_out(Json *j, char **ret, size_t *ret_size) {
        char *text = js_text(j, JS_SHORT);

        if (!text)
                return -ENOMEM;
        *ret = text;
        *ret_size = strlen(text);
        return 0;
}

static const char *usual_name(const FormatRow *rows) {
        return rows[0].digest.size == SHA384_SIZE ? "snp_launch_measurement" : "sev_launch_digest";
}

static int rvps(const FormatInput *in, char **ret, size_t *ret_size, _unused_ char **reterr) {
        const FormatRow *rows = in->rows;
        _cleanup_js_ Json *values = js_array(), *payload = js_object(), *message = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = values && payload ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < in->n_rows; i++)
                r = js_append(values, js_hex(rows[i].digest.bytes, rows[i].digest.size));
        if (r >= 0)
                r = js_set(payload, in->name ?: usual_name(rows), js_ref(values));
        if (r >= 0)
                r = json_out(payload, &text, &size);
        if (r >= 0)
                r = js_build(&message, "{s:s, s:s, s:o}", "version", "0.1.0", "type", "sample", "payload",
                                js_base64(text, size));
        return r < 0 ? r : json_out(message, ret, ret_size);
}

static int in_toto(const FormatInput *in, char **ret, size_t *ret_size, _unused_ char **reterr) {
        const FormatRow *rows = in->rows;
        _cleanup_js_ Json *subjects = js_array(), *statement = NULL;
        int r = subjects ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < in->n_rows; i++) {
                const LaunchDigest *d = &rows[i].digest;
                _cleanup_free_ char *full = NULL;
                Json *subject = NULL;

                if (asprintf(&full, "%s%s%s", in->name ?: usual_name(rows), rows[i].name ? "?" : "",
                                    rows[i].name ?: "") < 0)
                        return -ENOMEM;
                r = js_build(&subject, "{s:s, s:{s:o}}", "name", full, "digest",
                                hash_algorithm_to_string(d->algorithm), js_hex(d->bytes, d->size));
                if (r >= 0)
                        r = js_append(subjects, subject);
        }
        if (r >= 0)
                r = js_build(&statement, "{s:s, s:O, s:s, s:O}", "_type", "https://in-toto.io/Statement/v1",
                                "subject", subjects, "predicateType", PREDICATE_TYPE, "predicate",
                                in->report);
        return r < 0 ? r : json_out(statement, ret, ret_size);
}

static int json_report(const FormatInput *in, char **ret, size_t *ret_size, _unused_ char **reterr) {
        return json_out((Json *) in->report, ret, ret_size);
}

typedef struct FormatKind {
        const char *media_type;
        int (*encode)(const FormatInput *in, char **ret, size_t *ret_size, char **reterr);
        bool binary;
} FormatKind;

static const FormatKind formats[] = {
        [FORMAT_TEXT] = {}, /* measure's own output, not a format of reference values */
        [FORMAT_JSON] = { .media_type = "application/json", .encode = json_report },
        [FORMAT_RVPS] = { .media_type = "application/json", .encode = rvps },
        [FORMAT_IN_TOTO] = { .media_type = "application/vnd.in-toto+json", .encode = in_toto },
        [FORMAT_CORIM] = { .media_type = "application/rim+cbor", .encode = corim_encode, .binary = true },
};
static_assert(ELEMENTSOF(formats) == _MEASURE_FORMAT_MAX, "every format has a row");

#define NAME(id, name) name,
static const char *const names[] = { MEASURE_FORMATS(NAME) };

const char *measure_format_to_string(MeasureFormat f) {
        return f >= 0 && f < _MEASURE_FORMAT_MAX ? names[f] : NULL;
}

MeasureFormat measure_format_from_string(const char *s) {
        for (int i = 0; i < _MEASURE_FORMAT_MAX; i++)
                if (streq(s, names[i]))
                        return (MeasureFormat) i;
        return _MEASURE_FORMAT_INVALID;
}

static int envelope(const char *type, const char *payload, size_t size, const SignKey *key, char **ret,
                size_t *ret_size) {
        _cleanup_free_ uint8_t *signature = NULL;
        _cleanup_free_ char *pae = NULL;
        _cleanup_js_ Json *j = NULL;
        uint8_t id[32];
        size_t n, pae_size;
        int r;

        r = dsse_preauth(type, payload, size, &pae, &pae_size);
        if (r >= 0)
                r = sign_data(key, pae, pae_size, &signature, &n);
        if (r >= 0)
                r = sign_key_id(key, id);
        if (r >= 0)
                r = js_build(&j, "{s:s, s:o, s:[{s:o, s:o}]}", "payloadType", type, "payload",
                                js_base64(payload, size), "signatures", "keyid", js_hex(id, sizeof(id)),
                                "sig", js_base64(signature, n));
        return r < 0 ? r : json_out(j, ret, ret_size);
}

static int with_newline(char **text, size_t *size) {
        char *grown = realloc(*text, *size + 2);

        if (!grown)
                return -ENOMEM;
        grown[(*size)++] = '\n';
        grown[*size] = 0;
        *text = grown;
        return 0;
}

int format_rows(MeasureFormat format, const FormatInput *in, const SignKey *key, char **ret,
                size_t *ret_size, char **reterr) {
        _cleanup_free_ char *text = NULL;
        const FormatKind *f = formats + format;
        size_t size = 0;
        int r;

        assert(in->n_rows > 0 && f->encode);
        r = f->encode(in, &text, &size, reterr);
        if (r >= 0 && key) {
                char *plain = TAKE_PTR(text);

                r = envelope(f->media_type, plain, size, key, &text, &size);
                free(plain);
        }
        if (r >= 0 && (key || !f->binary))
                r = with_newline(&text, &size);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}
