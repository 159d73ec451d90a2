/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refs-file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"

#define STATE_FORMAT "cvmspawn-refs-state-v1"
#define CLOCK_SLACK  300 /* seconds by which two machines' clocks may differ */

void refs_file_done(RefsFile *f) {
        refs_bundle_done(&f->bundle);
}

static bool is_envelope(const char *text, size_t size) {
        return memmem(text, size, "\"payloadType\"", strlen("\"payloadType\"")) != NULL;
}

static bool has_text(const void *text, size_t size, const char *part) {
        return memmem(text, size, part, strlen(part)) != NULL;
}

/* The bundle that is the predicate of an in-toto statement, as its own text: 1 and *ret, 0 if the text is anything else. */
static int statement_bundle(const char *text, size_t size, char **ret) {
        _cleanup_js_ Json *j = NULL;
        _cleanup_free_ char *bundle = NULL;
        const char *type, *predicate;

        if (!has_text(text, size, REFS_PREDICATE_TYPE) || js_parse(text, size, &j, NULL) < 0)
                return 0;
        type = js_string_value(js_get(j, "_type"));
        predicate = js_string_value(js_get(j, "predicateType"));
        if (!type || !streq(type, REFS_STATEMENT_TYPE) || !predicate ||
                        !streq(predicate, REFS_PREDICATE_TYPE) || !js_is_object(js_get(j, "predicate")))
                return 0;
        bundle = js_text(js_get(j, "predicate"), JS_SHORT);
        return bundle && asprintf(ret, "%s\n", bundle) >= 0 ? 1 : -ENOMEM;
}

bool refs_file_is(const char *text, size_t size) {
        _cleanup_(dsse_envelope_done) DsseEnvelope e = {};

        if (!is_envelope(text, size))
                return has_text(text, size, "\"" REFS_FORMAT "\"");
        if (has_text(text, size, REFS_MEDIA_TYPE))
                return true;
        /* What others sign as in-toto statements: the payload decides. */
        return has_text(text, size, "in-toto") && dsse_parse(text, size, &e, NULL) >= 0 &&
                        has_text(e.payload, e.size, REFS_PREDICATE_TYPE);
}

/* type: of the envelope, which says what it contains; NULL: the text stands alone. */
static int read_payload(const char *type, const char *text, size_t size, RefsFile *f, char **reterr) {
        _cleanup_free_ char *inner = NULL;
        int r = statement_bundle(text, size, &inner);

        if (r >= 0 && type && streq(type, REFS_STATEMENT_ENVELOPE) != (r > 0))
                return error_set(reterr, -EBADMSG, "the envelope contains '%s', but its payload is not %s",
                                type, r > 0 ? "one" : "an in-toto statement of a bundle");
        if (r > 0) {
                text = inner;
                size = strlen(inner);
        }
        if (r >= 0)
                r = hash_digest(HASH_SHA256, text, size, f->sha256);
        return r < 0 ? r : refs_bundle_parse(text, size, &f->bundle, reterr);
}

static int open_envelope(const char *text, size_t size, DsseEnvelope *e, char **reterr) {
        int r = dsse_parse(text, size, e, reterr);

        if (r >= 0 && !streq(e->type, REFS_MEDIA_TYPE) && !streq(e->type, REFS_STATEMENT_ENVELOPE))
                r = error_set(reterr, -EBADMSG,
                                "the envelope contains '%s', not %s or an in-toto statement of one", e->type,
                                REFS_MEDIA_TYPE);
        return r;
}

static int check_signers(const DsseEnvelope *e, const RefsSigners *s, unsigned *ret, char **reterr) {
        unsigned needed = MAX(s->threshold, 1u);
        int r = dsse_signers(e, s->keys, s->n_keys, ret, reterr);

        if (r >= 0 && *ret < needed)
                r = error_set(reterr, -EKEYREJECTED,
                                "%u of the %zu given key%s signed this bundle; %u must have", *ret,
                                s->n_keys, s->n_keys == 1 ? "" : "s", needed);
        return r;
}

int refs_file_open(const char *text, size_t size, const RefsSigners *signers, RefsFile *ret, char **reterr) {
        _cleanup_(dsse_envelope_done) DsseEnvelope e = {};
        _cleanup_(refs_file_done) RefsFile f = { .is_signed = is_envelope(text, size) };
        bool checked = signers && signers->n_keys > 0;
        int r = 0;

        if (checked && !f.is_signed) {
                r = read_payload(NULL, text, size, &f, reterr);
                return r < 0 ? r
                             : error_set(reterr, -EKEYREJECTED,
                                               "the bundle is not signed, but keys of signers were given");
        }
        if (f.is_signed)
                r = open_envelope(text, size, &e, reterr);
        f.n_keys = checked ? signers->n_keys : 0;
        if (r >= 0 && checked)
                r = check_signers(&e, signers, &f.signers, reterr);
        if (r < 0)
                return r;
        f.n_signatures = e.n_signatures;
        r = f.is_signed ? read_payload(e.type, (const char *) e.payload, e.size, &f, reterr)
                        : read_payload(NULL, text, size, &f, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(f, (RefsFile) {});
        return 0;
}

/* --- signing --------------------------------------------------------------------------------------------------------- */

/* The envelope of a text, without signatures where it is a plain bundle. */
static int to_envelope(const char *text, size_t size, DsseEnvelope *e, char **reterr) {
        _cleanup_(refs_file_done) RefsFile f = {};
        _cleanup_free_ char *inner = NULL;
        int r;

        /* Nobody signs by this what is not a bundle. */
        r = refs_file_open(text, size, NULL, &f, reterr);
        if (r < 0)
                return r;
        if (f.is_signed)
                return open_envelope(text, size, e, reterr);
        r = statement_bundle(text, size, &inner);
        if (r < 0)
                return r;
        e->type = strdup(r > 0 ? REFS_STATEMENT_ENVELOPE : REFS_MEDIA_TYPE);
        e->payload = malloc(MAX(size, (size_t) 1));
        if (!e->type || !e->payload)
                return -ENOMEM;
        memcpy(e->payload, text, size);
        e->size = size;
        return 0;
}

int refs_file_sign(const char *text, size_t size, const SignKey *key, char **ret, char **reterr) {
        _cleanup_(dsse_envelope_done) DsseEnvelope e = {};
        int r = to_envelope(text, size, &e, reterr);

        return r < 0 ? r : dsse_sign(&e, key, ret, reterr);
}

int refs_file_to_sign(const char *text, size_t size, char **ret, size_t *ret_size, char **reterr) {
        _cleanup_(dsse_envelope_done) DsseEnvelope e = {};
        int r = to_envelope(text, size, &e, reterr);

        return r < 0 ? r : dsse_preauth(e.type, e.payload, e.size, ret, ret_size);
}

int refs_file_add_signature(const char *text, size_t size, const DsseSignature *signature,
                const DsseKey *key, char **ret, char **reterr) {
        _cleanup_(dsse_envelope_done) DsseEnvelope e = {};
        DsseSignature one = *signature;
        DsseEnvelope alone;
        unsigned good = 0;
        int r = to_envelope(text, size, &e, reterr);

        if (r < 0)
                return r;
        alone = e;
        alone.signatures = &one;
        alone.n_signatures = 1;
        r = dsse_signers(&alone, key, 1, &good, reterr);
        if (r >= 0 && good == 0)
                r = error_set(reterr, -EKEYREJECTED,
                                "the signature was not made by this key over these bytes (refs sign --detached)");
        return r < 0 ? r : dsse_with_signature(&e, NULL, one.bytes, one.size, ret, reterr);
}

/* --- age ------------------------------------------------------------------------------------------------------------- */

int refs_check_age(const RefsBundle *b, int64_t now, uint64_t max_age, char **reterr) {
        uint64_t t = now > 0 ? (uint64_t) now : 0;

        if (b->issued > INT64_MAX / 2 || b->issued > t + CLOCK_SLACK)
                return error_set(reterr, -ETIME, "the bundle was issued in the future, at %s",
                                date_text((int64_t) b->issued).text);
        if (b->expires > 0 && t > b->expires)
                return error_set(reterr, -ETIME, "the bundle expired at %s; ask its publisher for a new one",
                                date_text((int64_t) b->expires).text);
        if (max_age > 0 && t > b->issued && t - b->issued > max_age)
                return error_set(reterr, -ETIME,
                                "the bundle was issued at %s, more than %" PRIu64 " s ago (--max-age)",
                                date_text((int64_t) b->issued).text, max_age);
        return 0;
}

static int read_format(const Json *v, _unused_ void *target, char **reterr) {
        const char *s = js_string_value(v);

        return s && streq(s, STATE_FORMAT) ? 0 : error_set(reterr, -EINVAL, "expected '%s'", STATE_FORMAT);
}

static int read_sha256(const Json *v, void *target, char **reterr) {
        const char *s = js_string_value(v);

        if (!s || hex_decode_exact(s, ((RefsState *) target)->sha256, SHA256_SIZE) < 0)
                return error_set(reterr, -EINVAL, "expected 64 hex digits");
        return 0;
}

int refs_state_read(const char *text, size_t size, RefsState *ret, char **reterr) {
        static const JsField fields[] = {
                { "format", JS_FIELD_CUSTOM, 0, true, read_format },
                { "sequence", JS_FIELD_U64, offsetof(RefsState, sequence), true, NULL },
                { "sha256", JS_FIELD_CUSTOM, 0, true, read_sha256 },
        };
        _cleanup_js_ Json *j = NULL;
        int r = js_parse(text, size, &j, reterr);

        return r < 0 ? r : js_dispatch(j, fields, ELEMENTSOF(fields), /* foreign= */ false, ret, reterr);
}

int refs_state_text(const RefsState *s, char **ret) {
        _cleanup_js_ Json *j = NULL;
        _cleanup_free_ char *text = NULL;
        _cleanup_(text_done) Text t = {};
        int r = js_build(&j, "{s:s, s:o, s:o}", "format", STATE_FORMAT, "sequence", js_u64(s->sequence),
                        "sha256", js_hex(s->sha256, sizeof(s->sha256)));

        if (r < 0)
                return r;
        text = js_text(j, JS_SHORT);
        if (!text)
                return -ENOMEM;
        text_put(&t, text);
        text_put(&t, "\n");
        return text_finish(&t, ret);
}

int refs_check_rollback(const RefsFile *f, const RefsState *last, char **reterr) {
        uint64_t sequence = f->bundle.sequence;

        if (sequence < last->sequence)
                return error_set(reterr, -ESTALE,
                                "the bundle has sequence number %" PRIu64 ", but %" PRIu64
                                " was accepted before: it is older",
                                sequence, last->sequence);
        if (sequence == last->sequence && memcmp(f->sha256, last->sha256, SHA256_SIZE) != 0)
                return error_set(reterr, -ESTALE,
                                "another bundle with the same sequence number %" PRIu64
                                " was accepted before",
                                sequence);
        return 0;
}
