/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "collateral-signed.h"

#include <errno.h>
#include <string.h>

#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"

#define MEMBER "signed-list"

static int list_file(void *userdata, const char *name, const void *p, size_t n, _unused_ char **reterr) {
        uint8_t digest[SHA256_SIZE];
        Json *row = NULL;
        int r = hash_digest(HASH_SHA256, p, n, digest);

        if (r >= 0)
                r = js_build(&row, "{s:s, s:o}", "name", name, "sha256", js_hex(digest, sizeof(digest)));
        return r < 0 ? r : js_append(userdata, row);
}

/* The envelope that the bundle has: 1; 0: none. */
static int get_envelope(const Json *bundle, DsseEnvelope *ret, char **reterr) {
        const Json *member = js_get(bundle, MEMBER);
        _cleanup_free_ char *text = NULL;
        int r;

        if (!member)
                return 0;
        text = js_text(member, JS_SHORT);
        if (!text)
                return -ENOMEM;
        r = dsse_parse(text, strlen(text), ret, reterr);
        if (r >= 0 && !streq(ret->type, COLLATERAL_LIST_TYPE))
                r = error_set(reterr, -EBADMSG, "its envelope contains '%s'; expected %s", ret->type,
                                COLLATERAL_LIST_TYPE);
        return r < 0 ? error_prefix(reterr, r, "the signed list") : 1;
}

static int new_envelope(const Json *bundle, DsseEnvelope *e, char **reterr) {
        _cleanup_js_ Json *files = js_array(), *list = NULL;
        uint64_t created;
        int r = files ? collateral_bundle_each(bundle, list_file, files, reterr) : -ENOMEM;

        if (r >= 0)
                r = js_u64_value(js_get(bundle, "created"), &created);
        if (r >= 0)
                r = js_build(&list, "{s:s, s:o, s:O}", "format", COLLATERAL_LIST_FORMAT, "created",
                                js_u64(created), "files", files);
        if (r < 0)
                return r;
        e->type = strdup(COLLATERAL_LIST_TYPE);
        e->payload = (uint8_t *) js_text(list, JS_SHORT);
        if (!e->type || !e->payload)
                return -ENOMEM;
        e->size = strlen((char *) e->payload);
        return 0;
}

int collateral_bundle_sign(Json *bundle, const SignKey *key, char **reterr) {
        _cleanup_(dsse_envelope_done) DsseEnvelope e = {};
        _cleanup_free_ char *text = NULL;
        Json *member = NULL;
        int r = get_envelope(bundle, &e, reterr);

        if (r == 0)
                r = new_envelope(bundle, &e, reterr);
        if (r >= 0)
                r = dsse_sign(&e, key, &text, reterr);
        if (r >= 0)
                r = js_parse(text, strlen(text), &member, reterr);
        return r < 0 ? r : js_set(bundle, MEMBER, member);
}

typedef struct Comparison {
        const Json *files; /* of the list; borrowed */
        size_t i;
} Comparison;

static bool is_listed(const Json *files, const char *name) {
        for (size_t i = 0; i < js_length(files); i++)
                if (streq_ptr(js_string_value(js_get(js_at(files, i), "name")), name))
                        return true;
        return false;
}

static int compare_file(void *userdata, const char *name, const void *p, size_t n, char **reterr) {
        Comparison *c = userdata;
        const Json *row = c->i < js_length(c->files) ? js_at(c->files, c->i++) : NULL;
        const char *hex = js_string_value(js_get(row, "sha256"));
        uint8_t digest[SHA256_SIZE], listed[SHA256_SIZE];
        int r = hash_digest(HASH_SHA256, p, n, digest);

        if (r < 0)
                return r;
        if (!streq_ptr(js_string_value(js_get(row, "name")), name))
                return error_set(reterr, -EKEYREJECTED,
                                is_listed(c->files, name)
                                                ? "'%s' is not at its place in the signed list: a file was removed, added or moved"
                                                : "'%s' is not in the signed list",
                                name);
        if (!hex || hex_decode_exact(hex, listed, sizeof(listed)) < 0 ||
                        memcmp(digest, listed, sizeof(digest)) != 0)
                return error_set(reterr, -EKEYREJECTED, "'%s' is not the file that was signed", name);
        return 0;
}

static int compare(const Json *bundle, const Json *list, int64_t *ret_created, char **reterr) {
        const char *format = js_string_value(js_get(list, "format"));
        Comparison c = { .files = js_get(list, "files") };
        uint64_t created, said;
        int r;

        if (!format || !streq(format, COLLATERAL_LIST_FORMAT) || !js_is_array(c.files) ||
                        js_u64_value(js_get(list, "created"), &created) < 0 || created > INT64_MAX)
                return error_set(reterr, -EBADMSG, "the signed list is not one of collateral ('%s')",
                                COLLATERAL_LIST_FORMAT);
        if (js_u64_value(js_get(bundle, "created"), &said) < 0 || said != created)
                return error_set(reterr, -EKEYREJECTED, "'created' is not the time that was signed");
        r = collateral_bundle_each(bundle, compare_file, &c, reterr);
        if (r < 0)
                return r;
        if (c.i < js_length(c.files))
                return error_set(reterr, -EKEYREJECTED, "'%.*s' of the signed list is missing",
                                (int) COLLATERAL_FILE_NAME_MAX,
                                js_string_value(js_get(js_at(c.files, c.i), "name")) ?: "a file");
        *ret_created = (int64_t) created;
        return 0;
}

int collateral_bundle_verify(const Json *bundle, const DsseKey *keys, size_t n_keys, int64_t *ret_created,
                char **reterr) {
        _cleanup_(dsse_envelope_done) DsseEnvelope e = {};
        _cleanup_js_ Json *list = NULL;
        unsigned signers = 0;
        int r = get_envelope(bundle, &e, reterr);

        if (r == 0)
                return error_set(reterr, -EKEYREJECTED,
                                "the bundle is not signed, but keys of signers were given");
        if (r >= 0)
                r = dsse_signers(&e, keys, n_keys, &signers, reterr);
        if (r >= 0 && signers < n_keys)
                r = error_set(reterr, -EKEYREJECTED,
                                "%u of the %zu given key%s signed this bundle; all must have", signers,
                                n_keys, n_keys == 1 ? "" : "s");
        if (r >= 0)
                r = js_parse((const char *) e.payload, e.size, &list, reterr);
        return r < 0 ? r : compare(bundle, list, ret_created, reterr);
}
