/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* refs build and refs sign: what writes bundles. */

#include "refs-build.h"

#include <errno.h>
#include <string.h>

#include "date.h"
#include "error.h"
#include "guest-policy.h"
#include "id-block-file.h"
#include "input.h"
#include "log.h"
#include "measure-child.h"
#include "refs-id.h"
#include "refs.h"
#include "secret.h"
#include "sign-files.h"
#include "strutil.h"

#define KEY_FILE_MAX 65536u

/* --- expectations ---------------------------------------------------------------------------------------------------- */

static int split_pair(const char *text, char **ret_name, const char **ret_value, char **reterr) {
        const char *equals = strchr(text, '=');

        if (!equals)
                return error_set(reterr, -EINVAL, "expected NAME=VALUE, not '%s'", text);
        *ret_name = strndup(text, (size_t) (equals - text));
        *ret_value = equals + 1;
        return *ret_name ? 0 : -ENOMEM;
}

static int parse_platform(const char *text, RefsPlatform *p, char **reterr) {
        _cleanup_strv_free_ char **words = NULL;
        int r = strv_split(text, ',', &words);

        STRV_FOREACH(word, r < 0 ? NULL : words) {
                _cleanup_free_ char *name = NULL;
                const char *value;
                int on;

                r = split_pair(*word, &name, &value, reterr);
                if (r < 0)
                        return r;
                on = parse_boolean(value);
                if (on < 0 || (!streq(name, "smt") && !streq(name, "tsme")))
                        return error_set(reterr, -EINVAL, "expected smt=on|off and tsme=on|off, not '%s'",
                                        *word);
                if (streq(name, "smt") ? p->has_smt : p->has_tsme)
                        return error_set(reterr, -EINVAL, "%s is given twice", name);
                if (streq(name, "smt")) {
                        p->has_smt = true;
                        p->smt = on;
                } else {
                        p->has_tsme = true;
                        p->tsme = on;
                }
        }
        return r < 0 ? r : 0;
}

static int parse_tcb_part(const char *word, SnpGeneration g, SnpTcb *tcb, unsigned *given, char **reterr) {
        _cleanup_free_ char *name = NULL;
        const char *value;
        uint64_t n;
        int r = split_pair(word, &name, &value, reterr);

        if (r < 0)
                return r;
        for (int p = 0; p < _SNP_TCB_PART_MAX; p++) {
                if (!streq(name, snp_tcb_part_to_string((SnpTcbPart) p)) ||
                                !snp_generation_has_tcb_part(g, (SnpTcbPart) p))
                        continue;
                if (parse_u64_max(value, UINT8_MAX, &n) < 0)
                        return error_set(reterr, -EINVAL, "'%s': expected 0 to 255", word);
                if (*given & 1u << p)
                        return error_set(reterr, -EINVAL, "%s is given twice", name);
                tcb->part[p] = (uint8_t) n;
                *given |= 1u << p;
                return 0;
        }
        return error_set(reterr, -EINVAL, "%s has no TCB part '%s'", snp_generation_to_string(g), name);
}

static int parse_tcb(const char *text, RefsBundle *b, char **reterr) {
        _cleanup_strv_free_ char **words = NULL;
        const char *colon = strchr(text, ':');
        _cleanup_free_ char *name = colon ? strndup(text, (size_t) (colon - text)) : NULL;
        SnpGeneration g = name ? snp_generation_from_string(name) : _SNP_GENERATION_INVALID;
        unsigned given = 0;
        int r;

        if (g < 0)
                return error_set(reterr, -EINVAL,
                                "expected GENERATION:PART=N,..., not '%s'; generations: %s", text,
                                values_text(SNP_GENERATION_NAMES).text);
        if (b->has_tcb[g])
                return error_set(reterr, -EINVAL, "%s is given twice", snp_generation_to_string(g));
        r = strv_split(colon + 1, ',', &words);
        STRV_FOREACH(word, r < 0 ? NULL : words) {
                r = parse_tcb_part(*word, g, b->tcb + g, &given, reterr);
                if (r < 0)
                        return r;
        }
        for (int p = 0; r >= 0 && p < _SNP_TCB_PART_MAX; p++)
                if (snp_generation_has_tcb_part(g, (SnpTcbPart) p) && !(given & 1u << p))
                        r = error_set(reterr, -EINVAL, "'%s' lacks %s=", text,
                                        snp_tcb_part_to_string((SnpTcbPart) p));
        b->has_tcb[g] = true;
        return r < 0 ? r : 0;
}

static bool has_snp(const RefsBundle *b) {
        FOREACH_ARRAY(l, b->launches, b->n_launches)
                if (l->mode == COCO_SEV_SNP)
                        return true;
        return false;
}

/* What the options expect of machines. */
static int read_expectations(const RefsArguments *a, RefsBundle *b, char **reterr) {
        int r = 0;

        if (a->platform) {
                r = parse_platform(a->platform, &b->platform, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "--platform");
        }
        STRV_FOREACH(text, a->tcb) {
                r = parse_tcb(*text, b, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "--tcb");
        }
        return r;
}

/* They replace what was taken from bundles. */
static int set_expectations(const RefsArguments *a, const RefsBundle *asked, RefsBundle *b, char **reterr) {
        if (a->platform)
                b->platform = asked->platform;
        for (int g = 0; g < _SNP_GENERATION_MAX; g++)
                if (asked->has_tcb[g]) {
                        b->has_tcb[g] = true;
                        b->tcb[g] = asked->tcb[g];
                }
        if (!has_snp(b) && a->policy_given)
                return error_set(reterr, -EINVAL, "--guest-policy: the bundle has no sev-snp launch");
        if (has_snp(b) &&
                        ((a->guest_policy & SNP_POLICY_RESERVED_ZERO) ||
                                        !(a->guest_policy & SNP_POLICY_RESERVED_ONE)))
                return error_set(reterr, -EINVAL,
                                "--guest-policy: bit 17 must be set and bits 26 to 63 clear, or no firmware launches the guest");
        if (a->policy_given || !b->has_guest_policy)
                b->guest_policy = has_snp(b) ? a->guest_policy : 0;
        b->has_guest_policy = has_snp(b);
        return 0;
}

static int set_times(const RefsArguments *a, RefsBundle *b, char **reterr) {
        int64_t issued;
        int r = parse_date(a->issued, &issued, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "--issued");
        if (issued < 0)
                return error_set(reterr, -EINVAL, "--issued: expected a date after 1970");
        b->issued = (uint64_t) issued;
        b->sequence = a->sequence_given ? a->sequence : b->issued;
        if (a->valid > 0)
                b->expires = b->issued + a->valid / 1000000;
        if (b->expires > 0 && b->expires < b->issued)
                return error_set(reterr, -EINVAL, "a bundle that is built from has expired; pass --valid=");
        if (a->name && !(b->name = strdup(a->name)))
                return -ENOMEM;
        return js_build(&b->generator, "{s:s, s:s}", "name", "cvmspawn", "version", CVMSPAWN_VERSION);
}

/* --- launches -------------------------------------------------------------------------------------------------------- */

static int add_text(const RefsArguments *a, RefsBundle *b, const char *text, size_t size, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        int r = refs_read_json(text, size, &j, reterr);

        return r < 0 ? r : refs_build_add(b, j, a->family_vcpus, reterr);
}

static int add_file(const RefsArguments *a, const RefsBundle *asked, RefsBundle *b, const char *path,
                char **reterr) {
        _cleanup_(refs_file_done) RefsFile f = {};
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = refs_read(path, &text, &size, reterr);

        if (r < 0)
                return r;
        if (!refs_file_is(text, size))
                r = add_text(a, b, text, size, reterr);
        else {
                r = refs_file_open(text, size, NULL, &f, reterr);
                if (r >= 0 && f.is_signed)
                        log_warning("%s: signatures are not checked by build: run 'cvmspawn refs verify' on it first",
                                        path);
                if (r >= 0)
                        r = refs_inherit(a, asked, b, &f.bundle, reterr);
                if (r >= 0)
                        r = refs_build_append(b, &f.bundle);
        }
        return r < 0 ? error_prefix(reterr, r, "%s", path) : 0;
}

static int add_measured(const RefsArguments *a, RefsBundle *b, char *const *arguments, char **reterr) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_free_ char *text = NULL;
        bool batch = false;
        int r, status;

        STRV_FOREACH(s, arguments)
                batch = batch || startswith(*s, "--batch");
        r = strv_push(&words, "--family");
        if (r >= 0 && !batch)
                r = strv_push(&words, "--json=short");
        STRV_FOREACH(s, arguments)
                if (r >= 0)
                        r = strv_push(&words, *s);
        if (r >= 0)
                r = measure_child(words, &text, &status, reterr);
        if (r < 0)
                return r;
        if (status != 0)
                return error_set(reterr, -EINVAL,
                                "cvmspawn measure could not compute the launches that are described after --");
        r = add_text(a, b, text, strlen(text), reterr);
        return r < 0 ? error_prefix(reterr, r, "the launches after --") : 0;
}

static int sign_blocks(const RefsArguments *a, RefsBundle *b, char **reterr) {
        _cleanup_ec_key_ EcKey *id = NULL, *author = NULL;
        int r;

        if (!a->id_key)
                return 0;
        b->id.svn = a->svn;
        r = id_file_id("family-id", a->family_id, b->id.family_id, reterr);
        if (r >= 0)
                r = id_file_id("image-id", a->image_id, b->id.image_id, reterr);
        if (r >= 0)
                r = id_file_key(a->passphrase_file, "id-key", a->id_key, /* or_public= */ false, &id,
                                reterr);
        if (r >= 0 && a->author_key)
                r = id_file_key(a->passphrase_file, "author-key", a->author_key, /* or_public= */ false,
                                &author, reterr);
        return r < 0 ? r : refs_id_sign(b, id, author, reterr);
}

int refs_build(const RefsArguments *a, char **words, char **reterr) {
        _cleanup_(refs_bundle_done) RefsBundle b = {}, asked = {};
        _cleanup_free_ char *text = NULL;
        int r;

        if (!words[0])
                return error_set(reterr, -EINVAL,
                                "build: expected files, or arguments of cvmspawn measure after --");
        if (a->family_vcpus > FAMILY_VCPUS_MAX)
                return error_set(reterr, -EINVAL, "--family-vcpus: expected at most %u", FAMILY_VCPUS_MAX);
        r = read_expectations(a, &asked, reterr);
        for (char **w = words; r >= 0 && *w; w++) {
                if (startswith(*w, "-")) {
                        r = add_measured(a, &b, w, reterr);
                        break;
                }
                r = add_file(a, &asked, &b, *w, reterr);
        }
        if (r >= 0)
                r = set_times(a, &b, reterr);
        if (r >= 0)
                r = set_expectations(a, &asked, &b, reterr);
        if (r >= 0)
                r = refs_bundle_check_families(&b, reterr);
        if (r >= 0)
                r = sign_blocks(a, &b, reterr);
        if (r >= 0)
                r = refs_bundle_text(&b, &text);
        return r < 0 ? r : refs_write(a, text, strlen(text), reterr);
}

/* --- sign ------------------------------------------------------------------------------------------------------------ */

static int sign_with(const char *bundle, const char *path, char **text, size_t *size, char **reterr) {
        _cleanup_sign_key_ SignKey *key = NULL;
        char *signed_text;
        int r = sign_key_read("key", path, &key, reterr);

        if (r < 0)
                return r;
        r = refs_file_sign(*text, *size, key, &signed_text, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "%s", bundle);
        free(*text);
        *text = signed_text;
        *size = strlen(signed_text);
        return 0;
}

static int add_signature(
                const RefsArguments *a, const char *bundle, char **text, size_t *size, char **reterr) {
        _cleanup_free_ char *signature = NULL, *key = NULL;
        size_t n, n_keys = 1, key_size;
        char *signed_text;
        DsseKey public;
        int r = input_read("signature", a->signature, KEY_FILE_MAX, &signature, &n, reterr);

        if (r >= 0)
                r = input_read("public-key", a->public_key, KEY_FILE_MAX, &key, &key_size, reterr);
        if (r < 0)
                return r;
        public = (DsseKey) { a->public_key, key, key_size };
        r = dsse_keys_distinct(&public, &n_keys, reterr); /* is it a key? */
        if (r < 0)
                return error_prefix(reterr, r, "--public-key");
        r = refs_file_add_signature(*text, *size,
                        &(DsseSignature) { .bytes = (uint8_t *) signature, .size = n }, &public,
                        &signed_text, reterr);
        if (r == -EKEYREJECTED)
                return error_prefix(reterr, r, "--signature: '%s'", a->signature);
        if (r < 0)
                return error_prefix(reterr, r, "%s", bundle);
        free(*text);
        *text = signed_text;
        *size = strlen(signed_text);
        return 0;
}

/* What verify would refuse is not signed. */
static int check_text(const char *path, const char *text, size_t size, char **reterr) {
        _cleanup_(refs_file_done) RefsFile f = {};
        int r = refs_file_open(text, size, NULL, &f, reterr);

        if (r >= 0)
                r = refs_check_sound(&f.bundle, reterr);
        return r < 0 ? error_prefix(reterr, r, "%s", path) : 0;
}

int refs_sign(const RefsArguments *a, char **words, char **reterr) {
        _cleanup_free_ char *text = NULL, *bytes = NULL;
        size_t size;
        int r;

        if (!a->keys && !a->detached && !a->signature)
                return error_set(reterr, -EINVAL, "sign: expected --key=, --detached or --signature=");
        r = refs_read(words[0], &text, &size, reterr);
        if (r >= 0)
                r = check_text(words[0], text, size, reterr);
        if (r < 0)
                return refs_status(r, reterr);
        if (a->detached) {
                r = refs_file_to_sign(text, size, &bytes, &size, reterr);
                return r < 0 ? error_prefix(reterr, r, "%s", words[0]) : refs_write(a, bytes, size, reterr);
        }
        if (a->signature)
                r = add_signature(a, words[0], &text, &size, reterr);
        STRV_FOREACH(path, a->keys)
                if (r >= 0)
                        r = sign_with(words[0], *path, &text, &size, reterr);
        if (r < 0)
                return refs_status(r, reterr);
        return refs_write(a, text, size, reterr);
}
