/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-format.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

#define PREDICATE_TYPE "tag:cvmspawn,2026:launch-digest/v1"

static const struct {
        const char *name, *media_type;
} formats[] = {
        [FORMAT_TEXT] = { "text", NULL },
        [FORMAT_JSON] = { "json", "application/json" },
        [FORMAT_RVPS] = { "rvps", "application/json" },
        [FORMAT_IN_TOTO] = { "in-toto", "application/vnd.in-toto+json" },
        [FORMAT_CORIM] = { "corim", "application/rim+cbor" },
};
static_assert(ELEMENTSOF(formats) == _MEASURE_FORMAT_MAX, "every format has a row");

const char *measure_format_to_string(MeasureFormat f) {
        return f >= 0 && f < _MEASURE_FORMAT_MAX ? formats[f].name : NULL;
}

MeasureFormat measure_format_from_string(const char *s) {
        for (int i = 0; i < _MEASURE_FORMAT_MAX; i++)
                if (streq(s, formats[i].name))
                        return (MeasureFormat) i;
        return _MEASURE_FORMAT_INVALID;
}

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

static int rvps(const char *name, const FormatRow *rows, size_t n, char **ret, size_t *ret_size) {
        _cleanup_js_ Json *values = js_array(), *payload = js_object(), *message = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = values && payload ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < n; i++)
                r = js_append(values, js_hex(rows[i].digest.bytes, rows[i].digest.size));
        if (r >= 0)
                r = js_set(payload, name ?: usual_name(rows), js_ref(values));
        if (r >= 0)
                r = json_out(payload, &text, &size);
        if (r >= 0)
                r = js_build(&message, "{s:s, s:s, s:o}", "version", "0.1.0", "type", "sample", "payload",
                                js_base64(text, size));
        return r < 0 ? r : json_out(message, ret, ret_size);
}

static int in_toto(const char *name, const FormatRow *rows, size_t n, const Json *report, char **ret,
                size_t *ret_size) {
        _cleanup_js_ Json *subjects = js_array(), *statement = NULL;
        int r = subjects ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < n; i++) {
                const LaunchDigest *d = &rows[i].digest;
                _cleanup_free_ char *full = NULL;
                Json *subject = NULL;

                if (asprintf(&full, "%s%s%s", name ?: usual_name(rows), rows[i].name ? "?" : "",
                                    rows[i].name ?: "") < 0)
                        return -ENOMEM;
                r = js_build(&subject, "{s:s, s:{s:o}}", "name", full, "digest",
                                hash_algorithm_to_string(d->algorithm), js_hex(d->bytes, d->size));
                if (r >= 0)
                        r = js_append(subjects, subject);
        }
        if (r >= 0)
                r = js_build(&statement, "{s:s, s:O, s:s, s:O}", "_type", "https://in-toto.io/Statement/v1",
                                "subject", subjects, "predicateType", PREDICATE_TYPE, "predicate", report);
        return r < 0 ? r : json_out(statement, ret, ret_size);
}

/* DSSE v1: the signature is over the type and the payload with their lengths. */
static int envelope(const char *type, const char *payload, size_t size, const SignKey *key, char **ret,
                size_t *ret_size) {
        _cleanup_free_ uint8_t *signature = NULL;
        _cleanup_(text_done) Text pae = {};
        _cleanup_js_ Json *j = NULL;
        uint8_t id[32];
        size_t n;
        int r;

        text_putf(&pae, "DSSEv1 %zu %s %zu ", strlen(type), type, size);
        text_put_n(&pae, payload, size);
        if (pae.error < 0)
                return pae.error;
        r = sign_data(key, pae.data, pae.size, &signature, &n);
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

int format_rows(MeasureFormat format, const char *name, const FormatRow *rows, size_t n_rows,
                const Json *report, const SignKey *key, char **ret, size_t *ret_size, char **reterr) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        int r;

        assert(n_rows > 0 && format != FORMAT_TEXT);
        if (format == FORMAT_RVPS)
                r = rvps(name, rows, n_rows, &text, &size);
        else if (format == FORMAT_IN_TOTO)
                r = in_toto(name, rows, n_rows, report, &text, &size);
        else if (format == FORMAT_CORIM)
                r = corim_encode(name, rows, n_rows, (uint8_t **) &text, &size, reterr);
        else
                r = json_out((Json *) report, &text, &size);
        if (r >= 0 && key) {
                char *plain = TAKE_PTR(text);

                r = envelope(formats[format].media_type, plain, size, key, &text, &size);
                free(plain);
        }
        if (r >= 0 && (key || format != FORMAT_CORIM))
                r = with_newline(&text, &size);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}
