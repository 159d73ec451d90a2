/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn id-block: builds, shows and verifies the ID block and ID auth of an SNP launch, in one step with a key at hand, or
 * in two with a key that never comes near. */

#include "id-block.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "atomic-file.h"
#include "encode.h"
#include "error.h"
#include "input.h"
#include "json.h"
#include "log.h"
#include "secret.h"
#include "strutil.h"
#include "verb.h"

#define INPUT_MAX      (64u * 1024u)
#define POLICY_DEFAULT UINT64_C(0x30000)

typedef struct Arguments {
        char *id_key, *author_key, *id_public, *author_public, *id_signature, *author_signature;
        char *id_block, *id_auth, *key_file, *family_id, *image_id, *measurement;
        uint64_t policy;
        unsigned svn;
        bool policy_given;
        VerbCommon common;
} Arguments;

static int set_policy(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        ((Arguments *) userdata)->policy_given = true;
        return option_set_u64(userdata, row, value, reterr);
}

#define AT(field) offsetof(Arguments, field)

static const OptionRow rows[] = {
        { "id-key", 0, OPTION_REQUIRED, "KEY", "Keys",
                        "private ID key (P-384): a file (PEM, DER) or a pkcs11: URI", "@file",
                        option_set_string, AT(id_key), 0 },
        { "author-key", 0, OPTION_REQUIRED, "KEY", NULL, "private author key: signs the ID key", "@file",
                        option_set_string, AT(author_key), 0 },
        { "id-public", 0, OPTION_REQUIRED, "FILE", NULL, "public ID key (prepare, assemble)", "@file",
                        option_set_string, AT(id_public), 0 },
        { "author-public", 0, OPTION_REQUIRED, "FILE", NULL, "public author key (assemble)", "@file",
                        option_set_string, AT(author_public), 0 },
        { "id-signature", 0, OPTION_REQUIRED, "FILE", NULL, "the ID key's signature of the block (assemble)",
                        "@file", option_set_string, AT(id_signature), 0 },
        { "author-signature", 0, OPTION_REQUIRED, "FILE", NULL,
                        "the author key's signature of the ID key (assemble)", "@file", option_set_string,
                        AT(author_signature), 0 },
        { "policy", 0, OPTION_REQUIRED, "NUMBER", "Content", "guest policy of the launch, default 0x30000",
                        NULL, set_policy, AT(policy), 0 },
        { "svn", 0, OPTION_REQUIRED, "N", NULL, "guest security version number, default 0", NULL,
                        option_set_unsigned, AT(svn), 0 },
        { "family-id", 0, OPTION_REQUIRED, "ID", NULL, "16 bytes: 32 hex digits, or up to 16 characters",
                        NULL, option_set_string, AT(family_id), 0 },
        { "image-id", 0, OPTION_REQUIRED, "ID", NULL, "16 bytes: 32 hex digits, or up to 16 characters",
                        NULL, option_set_string, AT(image_id), 0 },
        { "measurement", 0, OPTION_REQUIRED, "HEX", NULL, "the launch digest that verify is to find", NULL,
                        option_set_string, AT(measurement), 0 },
        { "id-block", 0, OPTION_REQUIRED, "FILE", "Files", "the ID block, 96 bytes; base64 is read too",
                        "@file", option_set_string, AT(id_block), 0 },
        { "id-auth", 0, OPTION_REQUIRED, "FILE", NULL, "the ID auth, 4096 bytes; base64 is read too",
                        "@file", option_set_string, AT(id_auth), 0 },
        { "key-file", 0, OPTION_REQUIRED, "FILE", NULL,
                        "where prepare writes what the author key is to sign", "@file", option_set_string,
                        AT(key_file), 0 },
        VERB_ROWS("Output", Arguments, common),
};

static const OptionScope scopes[] = {
        { "id-key author-key", "build" },
        { "id-public", "prepare assemble" },
        { "author-public id-signature author-signature", "assemble" },
        { "svn family-id image-id", "build prepare" },
        { "policy", "build prepare verify" },
        { "measurement", "verify" },
        { "id-auth", "build assemble show verify" },
        { "id-block", "build prepare assemble show verify" },
        { "key-file", "prepare" },
        { "json", "build assemble show verify" },
};

static const OptionTable table = {
        .program = "cvmspawn id-block",
        .arguments = "build DIGEST|prepare DIGEST|assemble|show|verify|key-digest KEY",
        .summary = "Builds, shows and verifies the ID block of an SNP launch",
        .words = "build prepare assemble show verify key-digest",
        .zone = "verifier",
        .epilog = "DIGEST is the launch digest as cvmspawn measure prints it. Exit status of verify: 0 "
                  "good, 1 usage or\n"
                  "internal error, 2 not authentic, 3 another digest or policy. See cvmspawn-id-block(1).\n",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .scopes = scopes,
        .n_scopes = ELEMENTSOF(scopes),
};

static void arguments_done(Arguments *a) {
        char **strings[] = { &a->id_key, &a->author_key, &a->id_public, &a->author_public, &a->id_signature,
                &a->author_signature, &a->id_block, &a->id_auth, &a->key_file, &a->family_id, &a->image_id,
                &a->measurement };

        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                free(*strings[i]);
}

/* option: NULL for an argument. or_public: a public key will do. */
static int load_key(const char *option, const char *key, bool or_public, EcKey **ret, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf buf = {};
        const char *colon = strchr(key, ':');
        struct stat st;
        int r;

        if (colon && !memchr(key, '/', (size_t) (colon - key)) && stat(key, &st) < 0)
                r = ec_key_open(key, ret, reterr);
        else {
                r = input_read_secret(option, key, INPUT_MAX, &buf, reterr);
                if (r < 0)
                        return r;
                if (or_public && ec_key_load_public(buf.data, buf.size, ret, NULL) == 0)
                        return 0;
                r = ec_key_load(buf.data, buf.size, ret, reterr);
        }
        if (r < 0)
                (void) error_prefix(reterr, r, "%s", key);
        return r < 0 && option ? error_prefix(reterr, r, "--%s", option) : r;
}

static int read_input(const char *option, const char *path, char **ret, size_t *ret_size, char **reterr) {
        if (!path)
                return error_set(reterr, -EINVAL, "--%s is missing", option);
        return input_read(option, path, INPUT_MAX, ret, ret_size, reterr);
}

static int load_public(const char *option, const char *path, EcKey **ret, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = read_input(option, path, &data, &size, reterr);
        if (r < 0)
                return r;
        r = ec_key_load_public(data, size, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--%s: %s", option, path) : 0;
}

/* The bytes themselves, or base64 of them. */
static int read_blob(const char *option, const char *path, size_t expected, uint8_t **ret, size_t *ret_size,
                char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size, text;
        int r;

        r = read_input(option, path, &data, &size, reterr);
        if (r < 0)
                return r;
        for (text = size; text > 0 && (data[text - 1] == '\n' || data[text - 1] == '\r'); text--)
                ;
        if (size != expected && base64_decode(data, text, ret, ret_size) == 0)
                return 0;
        *ret = (uint8_t *) TAKE_PTR(data);
        *ret_size = size;
        return 0;
}

static int read_id(const char *option, const char *text, uint8_t ret[static 16], char **reterr) {
        size_t n = text ? strlen(text) : 0;

        memset(ret, 0, 16);
        if (n == 0 || hex_decode_exact(text, ret, 16) == 0)
                return 0;
        if (n > 16)
                return error_set(reterr, -EINVAL, "--%s: expected 32 hex digits, or at most 16 characters",
                                option);
        memcpy(ret, text, n);
        return 0;
}

static int read_digest(const char *text, uint8_t ret[static 48], char **reterr) {
        int r = bytes_from_text(text, ret, 48, reterr);

        return r < 0 ? error_prefix(reterr, r, "'%s' is no SNP launch digest", text) : 0;
}

static int fill_block(const Arguments *a, char **words, SnpIdBlock *ret, char **reterr) {
        SnpIdBlock b = { .guest_svn = a->svn, .policy = a->policy_given ? a->policy : POLICY_DEFAULT };
        int r;

        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "expected one launch digest, see --help");
        r = read_digest(words[0], b.digest, reterr);
        if (r == 0)
                r = read_id("family-id", a->family_id, b.family_id, reterr);
        if (r == 0)
                r = read_id("image-id", a->image_id, b.image_id, reterr);
        if (r < 0)
                return r;
        r = id_block_check(&b, reterr);
        if (r < 0)
                return r;
        *ret = b;
        return 0;
}

static int write_file(const char *option, const char *path, const void *p, size_t n, char **reterr) {
        int r = file_write_atomic(path, p, n, 0644, ATOMIC_FILE_REPLACE);

        return r < 0 ? error_set(reterr, r, "--%s: cannot write '%s': %s", option, path, strerror(-r)) : 0;
}

static int set_key_digest(Json *o, const char *name, const SnpIdKey *k) {
        uint8_t digest[SHA384_SIZE];
        int r = id_key_digest(k, digest);

        return r < 0 ? r : js_set(o, name, js_hex(digest, sizeof(digest)));
}

/* id-block, id-auth (base64, as QEMU takes them), the keys' digests, and what the block says. */
static int describe(const IdBlockFiles *f, const SnpIdBlock *b, const SnpIdAuth *a, Json **ret) {
        _cleanup_js_ Json *o = js_object(), *fields = NULL;
        int r;

        if (!o)
                return -ENOMEM;
        r = js_set(o, "id-block", js_base64(f->block, sizeof(f->block)));
        if (r == 0)
                r = js_set(o, "id-auth", js_base64(f->auth, sizeof(f->auth)));
        if (r == 0)
                r = set_key_digest(o, "id-key-digest", &a->id_key);
        if (r == 0 && a->has_author)
                r = set_key_digest(o, "author-key-digest", &a->author_key);
        if (r == 0)
                r = snp_id_block_json(b, &fields);
        if (r < 0)
                return r;
        for (void *i = js_iter(fields); i; i = js_iter_next(fields, i)) {
                r = js_set(o, js_iter_key(i), js_ref((Json *) js_iter_value(i)));
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(o);
        return 0;
}

static int print_description(const Arguments *a, const Json *o) {
        if (a->common.json)
                return verb_print_json(o, a->common.style);
        for (void *i = js_iter(o); i; i = js_iter_next(o, i)) {
                const char *s = js_string_value(js_iter_value(i));
                uint64_t v;

                if (s)
                        printf("%s=%s\n", js_iter_key(i), s);
                else if (js_u64_value(js_iter_value(i), &v) == 0)
                        printf("%s=%" PRIu64 "\n", js_iter_key(i), v);
        }
        return 0;
}

/* Two outputs in one file would leave the second. */
static int check_outputs(const Arguments *a, char **reterr) {
        const char *const paths[] = { a->id_block, a->id_auth, a->key_file };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                for (size_t j = 0; j < i; j++)
                        if (paths[i] && streq_ptr(paths[i], paths[j]))
                                return error_set(reterr, -EINVAL,
                                                "'%s' is to hold two things; name two files", paths[i]);
        return 0;
}

static int hand_out(const Arguments *a, const IdBlockFiles *f, char **reterr) {
        _cleanup_js_ Json *o = NULL;
        SnpIdAuth auth;
        SnpIdBlock b;
        int r;

        r = id_block_verify(f->block, sizeof(f->block), f->auth, sizeof(f->auth), &b, &auth, reterr);
        if (r == 0 && a->id_block)
                r = write_file("id-block", a->id_block, f->block, sizeof(f->block), reterr);
        if (r == 0 && a->id_auth)
                r = write_file("id-auth", a->id_auth, f->auth, sizeof(f->auth), reterr);
        if (r == 0)
                r = describe(f, &b, &auth, &o);
        return r < 0 ? r : print_description(a, o);
}

static int build(const Arguments *a, char **words, char **reterr) {
        _cleanup_ec_key_ EcKey *id = NULL, *author = NULL;
        IdBlockFiles f;
        SnpIdBlock b;
        int r;

        if (!a->id_key)
                return error_set(reterr, -EINVAL,
                                "--id-key is missing (see prepare and assemble for a key elsewhere)");
        r = check_outputs(a, reterr);
        if (r < 0)
                return r;
        r = fill_block(a, words, &b, reterr);
        if (r == 0)
                r = load_key("id-key", a->id_key, /* or_public= */ false, &id, reterr);
        if (r == 0 && a->author_key)
                r = load_key("author-key", a->author_key, /* or_public= */ false, &author, reterr);
        if (r == 0)
                r = id_block_build(&b, id, author, &f, reterr);
        return r < 0 ? r : hand_out(a, &f, reterr);
}

static int prepare(const Arguments *a, char **words, char **reterr) {
        uint8_t block[SNP_ID_BLOCK_SIZE], key[SNP_KEY_SIZE];
        _cleanup_ec_key_ EcKey *id = NULL;
        SnpIdKey point;
        SnpIdBlock b;
        int r;

        if (!a->id_block)
                return error_set(reterr, -EINVAL,
                                "--id-block is missing: where to write what the ID key is to sign");
        if (!a->key_file != !a->id_public)
                return error_set(reterr, -EINVAL,
                                "--key-file and --id-public go together: the author key signs the ID key");
        r = check_outputs(a, reterr);
        if (r < 0)
                return r;
        r = fill_block(a, words, &b, reterr);
        if (r < 0)
                return r;
        snp_id_block_encode(&b, block);
        r = write_file("id-block", a->id_block, block, sizeof(block), reterr);
        if (r < 0 || !a->key_file)
                return r;
        r = load_public("id-public", a->id_public, &id, reterr);
        if (r == 0)
                r = id_key_from_ec(id, &point);
        if (r < 0)
                return r;
        snp_key_encode(&point, key);
        return write_file("key-file", a->key_file, key, sizeof(key), reterr);
}

static int load_signature(const char *option, const char *path, EcSignature *ret, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = read_input(option, path, &data, &size, reterr);
        if (r < 0)
                return r;
        r = id_signature_read(data, size, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--%s: %s", option, path) : 0;
}

static int assemble(Arguments *a, char **reterr) {
        _cleanup_ec_key_ EcKey *id = NULL, *author = NULL;
        EcSignature id_signature, author_signature;
        _cleanup_free_ uint8_t *block = NULL;
        IdBlockFiles f;
        SnpIdBlock b;
        size_t size;
        int r;

        r = check_outputs(a, reterr);
        if (r == 0)
                r = read_blob("id-block", a->id_block, SNP_ID_BLOCK_SIZE, &block, &size, reterr);
        if (r == 0)
                r = snp_id_block_decode(block, size, &b, reterr);
        if (r == 0)
                r = load_public("id-public", a->id_public, &id, reterr);
        if (r == 0)
                r = load_signature("id-signature", a->id_signature, &id_signature, reterr);
        if (r == 0 && (a->author_public || a->author_signature)) {
                r = load_public("author-public", a->author_public, &author, reterr);
                if (r == 0)
                        r = load_signature(
                                        "author-signature", a->author_signature, &author_signature, reterr);
        }
        if (r == 0)
                r = id_block_assemble(&b, id, &id_signature, author, author ? &author_signature : NULL, &f,
                                reterr);
        return r < 0 ? r : hand_out(a, &f, reterr);
}

/* show and verify: the same work, but verify judges. */
static int inspect(const Arguments *a, bool judge, char **reterr) {
        _cleanup_free_ uint8_t *block = NULL, *auth = NULL;
        size_t block_size, auth_size;
        uint8_t digest[48];
        _cleanup_free_ char *why = NULL;
        _cleanup_js_ Json *o = NULL;
        IdBlockFiles f;
        SnpIdBlock b;
        SnpIdAuth decoded;
        int r;

        r = read_blob("id-block", a->id_block, SNP_ID_BLOCK_SIZE, &block, &block_size, reterr);
        if (r == 0)
                r = read_blob("id-auth", a->id_auth, SNP_ID_AUTH_SIZE, &auth, &auth_size, reterr);
        if (r == 0 && a->measurement)
                r = read_digest(a->measurement, digest, reterr);
        if (r < 0)
                return r;
        r = id_block_verify(block, block_size, auth, auth_size, &b, &decoded, &why);
        if (r == -EBADMSG || r == -EKEYREJECTED) {
                log_error("not authentic: %s", why ?: "?");
                return 2;
        }
        if (r < 0)
                return r;
        memcpy(f.block, block, sizeof(f.block));
        memcpy(f.auth, auth, sizeof(f.auth));
        r = describe(&f, &b, &decoded, &o);
        if (r == 0)
                r = print_description(a, o);
        if (r < 0 || !judge)
                return r;
        if (a->measurement && memcmp(digest, b.digest, sizeof(digest)) != 0) {
                log_error("the ID block is for another launch digest than --measurement");
                r = 3;
        }
        if (a->policy_given && a->policy != b.policy) {
                log_error("the ID block is for policy 0x%" PRIx64 ", not 0x%" PRIx64, b.policy, a->policy);
                r = 3;
        }
        return r;
}

static int key_digest(char **words, char **reterr) {
        _cleanup_free_ char *hex = NULL;
        uint8_t digest[SHA384_SIZE];
        _cleanup_ec_key_ EcKey *k = NULL;
        SnpIdKey point;
        int r;

        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "key-digest: expected one key, see --help");
        r = load_key(NULL, words[0], /* or_public= */ true, &k, reterr);
        if (r == 0)
                r = id_key_from_ec(k, &point);
        if (r == 0)
                r = id_key_digest(&point, digest);
        if (r < 0)
                return r;
        hex = hex_encode(digest, sizeof(digest));
        return !hex ? -ENOMEM : puts(hex) < 0 ? -EIO : 0;
}

static int dispatch(Arguments *a, char **words, char **reterr) {
        if (words && streq(words[0], "build"))
                return build(a, words + 1, reterr);
        if (words && streq(words[0], "prepare"))
                return prepare(a, words + 1, reterr);
        if (words && streq(words[0], "key-digest"))
                return key_digest(words + 1, reterr);
        if (strv_length(words) == 1 && streq(words[0], "assemble"))
                return assemble(a, reterr);
        if (strv_length(words) == 1 && (streq(words[0], "show") || streq(words[0], "verify")))
                return inspect(a, streq(words[0], "verify"), reterr);
        return error_set(reterr, -EINVAL,
                        "expected build, prepare, assemble, show, verify or key-digest, see --help");
}

static int run(int argc, char **argv, char **reterr) {
        _cleanup_(arguments_done) Arguments a = {};
        _cleanup_strv_free_ char **words = NULL;
        int r;

        secret_forbid_core();
        r = verb_parse(&table, argc, argv, &a, &a.common, &words, reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        r = dispatch(&a, words, reterr);
        if (r != -EKEYREJECTED)
                return r;
        (void) error_prefix(reterr, r, "not authentic");
        return verb_failed(2, r, reterr);
}

int main(int argc, char **argv) {
        return verb_main(&table, argc, argv, run);
}
