/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn id-block: builds, shows and verifies the ID block and ID auth of an SNP launch, in one step with the private key, or
 * in two with a key that never comes near. */

#include "id-block.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "encode.h"
#include "error.h"
#include "guest-policy.h"
#include "id-block-file.h"
#include "json.h"
#include "log.h"
#include "secret.h"
#include "strutil.h"
#include "verb.h"

typedef struct Arguments {
        char *id_key, *author_key, *id_public, *author_public, *id_signature, *author_signature;
        char *id_block, *id_auth, *key_file, *passphrase_file, *family_id, *image_id, *measurement;
        uint64_t policy;
        unsigned svn;
        bool policy_given;
        VerbCommon common;
} Arguments;

static int set_policy(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        ((Arguments *) userdata)->policy_given = true;
        return option_set_u64(userdata, row, value, reterr);
}

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = {
        { "id-key", 0, OPTION_REQUIRED, "KEY", "Keys",
                        "Sign with this private ID key (P-384): a file (PEM, DER) or a\npkcs11: URI",
                        "@file", option_set_string, AT(id_key), 0 },
        { "author-key", 0, OPTION_REQUIRED, "KEY", NULL, "Sign the ID key with this private author key",
                        "@file", option_set_string, AT(author_key), 0 },
        { "passphrase-file", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Read the passphrase of encrypted keys from FILE (first line)", "@file",
                        option_set_string, AT(passphrase_file), 0 },
        { "id-public", 0, OPTION_REQUIRED, "FILE", NULL, "Read the public ID key from FILE", "@file",
                        option_set_string, AT(id_public), 0 },
        { "author-public", 0, OPTION_REQUIRED, "FILE", NULL, "Read the public author key from FILE", "@file",
                        option_set_string, AT(author_public), 0 },
        { "id-signature", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Read the ID key's signature of the block from FILE", "@file", option_set_string,
                        AT(id_signature), 0 },
        { "author-signature", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Read the author key's signature of the ID key from FILE", "@file",
                        option_set_string, AT(author_signature), 0 },
        { "policy", 0, OPTION_REQUIRED, "NUMBER", "Content",
                        "Set the guest policy of the launch (default: 0x30000)", NULL, set_policy,
                        AT(policy), 0 },
        { "svn", 0, OPTION_REQUIRED, "N", NULL, "Set the guest security version number (default: 0)", NULL,
                        option_set_unsigned, AT(svn), 0 },
        { "family-id", 0, OPTION_REQUIRED, "ID", NULL, "Set 16 bytes: 32 hex digits, or up to 16 characters",
                        NULL, option_set_string, AT(family_id), 0 },
        { "image-id", 0, OPTION_REQUIRED, "ID", NULL, "Set 16 bytes: 32 hex digits, or up to 16 characters",
                        NULL, option_set_string, AT(image_id), 0 },
        { "measurement", 0, OPTION_REQUIRED, "HEX", NULL, "Expect this launch digest", NULL,
                        option_set_string, AT(measurement), 0 },
        { "id-block", 0, OPTION_REQUIRED, "FILE", "Files",
                        "Read or write the ID block, 96 bytes; base64 is read too", "@file",
                        option_set_string, AT(id_block), 0 },
        { "id-auth", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Read or write the ID auth, 4096 bytes; base64 is read too", "@file",
                        option_set_string, AT(id_auth), 0 },
        { "key-file", 0, OPTION_REQUIRED, "FILE", NULL, "Write what the author key must sign to FILE",
                        "@file", option_set_string, AT(key_file), 0 },
        VERB_ROWS("Output"),
};

#define CONTENT "svn family-id image-id policy "

static const OptionCommand commands[] = {
        { "build", "DIGEST", "Build and sign an ID block",
                        CONTENT "id-key author-key passphrase-file id-block id-auth json" },
        { "prepare", "DIGEST", "Write what keys elsewhere must sign",
                        CONTENT "id-public id-block key-file" },
        { "assemble", NULL, "Build the ID auth from such signatures",
                        "id-public author-public id-signature author-signature id-block id-auth json" },
        { "show", NULL, "Show an ID block and its ID auth", "id-block id-auth json" },
        { "verify", NULL, "Verify an ID block and its ID auth", "id-block id-auth policy measurement json" },
        { "key-digest", "KEY", "Print the digest of a key, as reports have it", "passphrase-file" },
};

static const OptionRule rules[] = {
        { "author-signature", "author-public", NULL, NULL },
        { "author-public", "author-signature", NULL, NULL },
};

static const OptionTable table = {
        .program = "cvmspawn id-block",
        .summary = "Build, show and verify the ID block of an SNP launch.",
        .zone = "verifier",
        .epilog = "DIGEST is the launch digest as cvmspawn measure prints it. Exit status of verify: 0 good, 1 usage or\n"
                  "internal error, 2 not authentic, 3 another digest or policy. See cvmspawn-id-block(1).\n",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .commands = commands,
        .n_commands = ELEMENTSOF(commands),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

static int read_digest(const char *text, uint8_t ret[static 48], char **reterr) {
        int r = bytes_from_text(text, ret, 48, reterr);

        return r < 0 ? error_prefix(reterr, r, "'%s' is not an SNP launch digest", text) : 0;
}

static int fill_block(const Arguments *a, char **words, SnpIdBlock *ret, char **reterr) {
        SnpIdBlock b = { .guest_svn = a->svn, .policy = a->policy_given ? a->policy : SNP_POLICY_DEFAULT };
        int r;

        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "expected one launch digest, see --help");
        r = read_digest(words[0], b.digest, reterr);
        if (r == 0)
                r = id_file_id("family-id", a->family_id, b.family_id, reterr);
        if (r == 0)
                r = id_file_id("image-id", a->image_id, b.image_id, reterr);
        if (r < 0)
                return r;
        r = id_block_check(&b, reterr);
        if (r < 0)
                return r;
        *ret = b;
        return 0;
}

static int set_key_digest(Json *o, const char *name, const SnpIdKey *k) {
        uint8_t digest[SHA384_SIZE];
        int r = id_key_digest(k, digest);

        return r < 0 ? r : js_set(o, name, js_hex(digest, sizeof(digest)));
}

/* id-block, id-auth (base64, as QEMU takes them) where they do not lie in files, the keys' digests, and what the block says. */
static int describe(const IdBlockFiles *f, const SnpIdBlock *b, const SnpIdAuth *a, bool with_block,
                bool with_auth, Json **ret) {
        _cleanup_js_ Json *o = js_object(), *fields = NULL;
        int r = 0;

        if (!o)
                return -ENOMEM;
        if (with_block)
                r = js_set(o, "id-block", js_base64(f->block, sizeof(f->block)));
        if (r == 0 && with_auth)
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
                                                "'%s' is the file of two outputs; use two files", paths[i]);
        return 0;
}

static int hand_out(const Arguments *a, const IdBlockFiles *f, char **reterr) {
        _cleanup_js_ Json *o = NULL;
        SnpIdAuth auth;
        SnpIdBlock b;
        int r;

        r = id_block_verify(f->block, sizeof(f->block), f->auth, sizeof(f->auth), &b, &auth, reterr);
        if (r == 0)
                r = id_files_write(
                                (const IdFile[]) { { "id-block", a->id_block, f->block, sizeof(f->block) },
                                                { "id-auth", a->id_auth, f->auth, sizeof(f->auth) } },
                                2, reterr);
        if (r == 0)
                r = describe(f, &b, &auth, !a->id_block, !a->id_auth, &o);
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
                r = id_file_key(a->passphrase_file, "id-key", a->id_key, /* or_public= */ false, &id,
                                reterr);
        if (r == 0 && a->author_key)
                r = id_file_key(a->passphrase_file, "author-key", a->author_key, /* or_public= */ false,
                                &author, reterr);
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
                                "--id-block is missing: name a file for the data that the ID key must sign");
        if (!a->key_file != !a->id_public)
                return error_set(reterr, -EINVAL,
                                "--key-file and --id-public must be used together: the author key signs the ID key");
        r = check_outputs(a, reterr);
        if (r < 0)
                return r;
        r = fill_block(a, words, &b, reterr);
        if (r < 0)
                return r;
        snp_id_block_encode(&b, block);
        if (a->key_file) {
                r = id_file_public("id-public", a->id_public, &id, reterr);
                if (r == 0)
                        r = id_key_from_ec(id, &point);
                if (r < 0)
                        return r;
                snp_key_encode(&point, key);
        }
        return id_files_write((const IdFile[]) { { "id-block", a->id_block, block, sizeof(block) },
                                              { "key-file", a->key_file, key, sizeof(key) } },
                        2, reterr);
}

static int assemble(const Arguments *a, char **reterr) {
        _cleanup_ec_key_ EcKey *id = NULL, *author = NULL;
        EcSignature id_signature, author_signature;
        _cleanup_free_ uint8_t *block = NULL;
        IdBlockFiles f;
        SnpIdBlock b;
        size_t size;
        int r;

        r = check_outputs(a, reterr);
        if (r == 0)
                r = id_file_blob("id-block", a->id_block, SNP_ID_BLOCK_SIZE, &block, &size, reterr);
        if (r == 0)
                r = snp_id_block_decode(block, size, &b, reterr);
        if (r == 0)
                r = id_file_public("id-public", a->id_public, &id, reterr);
        if (r == 0)
                r = id_file_signature("id-signature", a->id_signature, &id_signature, reterr);
        if (r == 0 && (a->author_public || a->author_signature)) {
                r = id_file_public("author-public", a->author_public, &author, reterr);
                if (r == 0)
                        r = id_file_signature(
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

        r = id_file_blob("id-block", a->id_block, SNP_ID_BLOCK_SIZE, &block, &block_size, reterr);
        if (r == 0)
                r = id_file_blob("id-auth", a->id_auth, SNP_ID_AUTH_SIZE, &auth, &auth_size, reterr);
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
        r = describe(&f, &b, &decoded, /* with_block= */ a->common.json, /* with_auth= */ a->common.json,
                        &o);
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

static int key_digest(const Arguments *a, char **words, char **reterr) {
        _cleanup_free_ char *hex = NULL;
        uint8_t digest[SHA384_SIZE];
        _cleanup_ec_key_ EcKey *k = NULL;
        SnpIdKey point;
        int r;

        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "key-digest: expected one key, see --help");
        r = id_file_key(a->passphrase_file, NULL, words[0], /* or_public= */ true, &k, reterr);
        if (r == 0)
                r = id_key_from_ec(k, &point);
        if (r == 0)
                r = id_key_digest(&point, digest);
        if (r < 0)
                return r;
        hex = hex_encode(digest, sizeof(digest));
        return !hex ? -ENOMEM : puts(hex) < 0 ? -EIO : 0;
}

static int dispatch(const Arguments *a, char **words, char **reterr) {
        if (streq(words[0], "build"))
                return build(a, words + 1, reterr);
        if (streq(words[0], "prepare"))
                return prepare(a, words + 1, reterr);
        if (streq(words[0], "key-digest"))
                return key_digest(a, words + 1, reterr);
        if (words[1])
                return error_set(reterr, -EINVAL, "%s: unexpected argument '%s'", words[0], words[1]);
        if (streq(words[0], "assemble"))
                return assemble(a, reterr);
        return inspect(a, streq(words[0], "verify"), reterr);
}

static int id_block_run(void *arguments, char **words, char **reterr) {
        int r;

        secret_forbid_core();
        r = dispatch(arguments, words, reterr);
        if (r != -EKEYREJECTED)
                return r;
        (void) error_prefix(reterr, r, "not authentic");
        return verb_failed(2, r, reterr);
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .run = id_block_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
