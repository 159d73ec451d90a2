/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* generate: measurements come from the measure program, ID blocks from attest/. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "atomic-file.h"
#include "encode.h"
#include "error.h"
#include "guest-policy.h"
#include "id-block.h"
#include "input.h"
#include "key-passphrase.h"
#include "measure-child.h"
#include "snpguest.h"
#include "strutil.h"

#define KEY_FILE_MAX (64u * 1024u)

static int ask_measure(const SnpguestArguments *a, char **arguments, char **ret, char **reterr) {
        int status, r;

        r = measure_child(arguments, ret, &status, reterr);
        if (r < 0)
                return r;
        return status == 0 ? 0
                           : error_set(reterr, -EIO, "cvmspawn measure could not compute it%s%s%s",
                                             a->ovmf ? " for '" : "", a->ovmf ?: "", a->ovmf ? "'" : "");
}

/* snpguest's base64 is that of the hex text. */
static int hand_out(const SnpguestArguments *a, const char *prefix, const char *hex, char **reterr) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (streq_ptr(a->output_format, "base64"))
                text = base64_encode(hex, strlen(hex));
        else if (asprintf(&text, "%s%s", prefix, hex) < 0)
                text = NULL;
        if (!text)
                return -ENOMEM;
        if (a->file) {
                r = snpguest_write(a->file, text, strlen(text), reterr);
                if (r < 0)
                        return r;
        }
        return !a->quiet && puts(text) < 0 ? -EIO : 0;
}

static int push_option(char ***argv, const char *name, const char *value) {
        return value ? strv_pushf(argv, "--%s=%s", name, value) : 0;
}

/* snpguest takes any case. */
static const char *vmm_name(const char *s) {
        static const char *const names[] = { "QEMU", "ec2", "krun" };

        FOREACH_ARRAY(n, names, ELEMENTSOF(names))
                if (strcasecmp(*n, s) == 0)
                        return *n;
        return s;
}

int snpguest_measurement(const SnpguestArguments *a, char **words, char **reterr) {
        const struct {
                const char *name, *value;
        } options[] = {
                { "vcpus", a->vcpus ?: "1" },
                { "vcpu-type", a->vcpu_type },
                { "vcpu-sig", a->vcpu_sig },
                { "vcpu-family", a->vcpu_family },
                { "vcpu-model", a->vcpu_model },
                { "vcpu-stepping", a->vcpu_stepping },
                { "ovmf", a->ovmf },
                { "kernel", a->kernel },
                { "initrd", a->initrd },
                { "append", a->append },
                { "guest-features", a->features },
                { "snp-ovmf-hash", a->ovmf_hash },
        };
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *hex = NULL;
        int r;

        if (strv_length(words) > 0)
                return error_set(reterr, -EINVAL, "unexpected argument '%s'", words[0]);
        r = strv_push(&argv, "--mode=snp");
        FOREACH_ARRAY(o, options, ELEMENTSOF(options))
                if (r == 0)
                        r = push_option(&argv, o->name, o->value);
        if (r == 0 && a->vmm_type)
                r = push_option(&argv, "vmm-type", vmm_name(a->vmm_type));
        if (r == 0)
                r = ask_measure(a, argv, &hex, reterr);
        return r < 0 ? r : hand_out(a, "0x", hex, reterr);
}

int snpguest_ovmf_hash(const SnpguestArguments *a, char **words, char **reterr) {
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *hex = NULL;
        int r;

        if (strv_length(words) > 0 || !a->ovmf)
                return error_set(reterr, -EINVAL, "ovmf-hash: expected --ovmf=FILE");
        r = strv_push(&argv, "--mode=snp:ovmf-hash");
        if (r == 0)
                r = push_option(&argv, "ovmf", a->ovmf);
        if (r == 0)
                r = ask_measure(a, argv, &hex, reterr);
        return r < 0 ? r : hand_out(a, "", hex, reterr);
}

static int load_key(const SnpguestArguments *a, const char *path, EcKey **ret, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf buf = {}, passphrase = {};
        int r;

        r = key_passphrase(a->passphrase_file, &passphrase, reterr);
        if (r == 0)
                r = input_read_secret(NULL, path, KEY_FILE_MAX, &buf, reterr);
        if (r < 0)
                return r;
        r = ec_key_load_encrypted(buf.data, buf.size, (const char *) passphrase.data, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "%s", path) : 0;
}

static int read_id(const char *s, uint8_t ret[static 16], const char *option, char **reterr) {
        memset(ret, 0, 16);
        if (s && hex_decode_exact(s, ret, 16) < 0)
                return error_set(reterr, -EINVAL,
                                "--%s: expected 32 hex digits, which are 16 bytes (snpguest up to 0.10 takes 16 characters of text)",
                                option);
        return 0;
}

static int write_pair(const SnpguestArguments *a, const char *block, const char *auth, char **reterr) {
        AtomicFile files[2];
        size_t n = 0, failed;
        int r;

        if (a->id_file)
                files[n++] = (AtomicFile) { a->id_file, block, strlen(block), 0644 };
        if (a->auth_file)
                files[n++] = (AtomicFile) { a->auth_file, auth, strlen(auth), 0644 };
        r = n > 0 ? files_write_atomic(files, n, ATOMIC_FILE_REPLACE, &failed) : 0;
        return r < 0 ? error_set(reterr, r, "cannot write '%s': %s", files[failed].path, strerror(-r)) : 0;
}

int snpguest_id_block(const SnpguestArguments *a, char **words, char **reterr) {
        _cleanup_free_ char *block = NULL, *auth = NULL;
        _cleanup_ec_key_ EcKey *id = NULL, *author = NULL;
        SnpIdBlock b = { .policy = SNP_POLICY_DEFAULT };
        IdBlockFiles f;
        int r;

        if (strv_length(words) != 3)
                return error_set(reterr, -EINVAL, "id-block: expected ID-KEY, AUTHOR-KEY and DIGEST");
        if (a->version && !streq(a->version, "1"))
                return error_set(reterr, -EINVAL, "--version: only version 1 is supported");
        if ((a->svn && parse_unsigned(a->svn, &b.guest_svn) < 0) ||
                        (a->policy && parse_u64(a->policy, &b.policy) < 0))
                return error_set(reterr, -EINVAL, "--svn and --policy must be numbers");
        r = bytes_from_text(words[2], b.digest, sizeof(b.digest), reterr);
        if (r == 0)
                r = read_id(a->family_id, b.family_id, "family-id", reterr);
        if (r == 0)
                r = read_id(a->image_id, b.image_id, "image-id", reterr);
        if (r == 0)
                r = load_key(a, words[0], &id, reterr);
        if (r == 0)
                r = load_key(a, words[1], &author, reterr);
        if (r == 0)
                r = id_block_build(&b, id, author, &f, reterr);
        if (r < 0)
                return r;
        block = base64_encode(f.block, sizeof(f.block));
        auth = base64_encode(f.auth, sizeof(f.auth));
        if (!block || !auth)
                return -ENOMEM;
        r = write_pair(a, block, auth, reterr);
        if (r == 0 && !a->quiet)
                printf("ID-BLOCK:\n%s\nAUTH-BLOCK:\n%s\n", block, auth);
        return r;
}

int snpguest_key_digest(const SnpguestArguments *a, char **words, char **reterr) {
        _cleanup_free_ char *hex = NULL;
        _cleanup_ec_key_ EcKey *k = NULL;
        uint8_t digest[SHA384_SIZE];
        SnpIdKey point;
        int r;

        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "key-digest: expected one key");
        r = load_key(a, words[0], &k, reterr);
        if (r == 0)
                r = id_key_from_ec(k, &point);
        if (r == 0)
                r = id_key_digest(&point, digest);
        if (r < 0)
                return r;
        hex = hex_encode(digest, sizeof(digest));
        if (!hex)
                return -ENOMEM;
        if (a->file)
                r = snpguest_write(a->file, hex, strlen(hex), reterr);
        /* Up to 0.10 snpguest prints two lines, later versions only the third. */
        if (r == 0 && !a->quiet)
                printf("Key Digest:\n%s\n0x%s\n", hex, hex);
        return r;
}
