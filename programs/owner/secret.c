/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn secret`: builds the packet for LAUNCH_SECRET from a measurement that was validated before, or looks into one. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "atomic-file.h"
#include "attest-secret.h"
#include "crypto-random.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "firmware-ovmf.h"
#include "secret-file.h"
#include "secret-spec.h"
#include "strutil.h"
#include "verb.h"

#define FIRMWARE_SIZE_MAX (256u * 1024 * 1024)

typedef struct Arguments {
        char *tik, *tek, *tk, *measurement, *firmware;
        char **secrets;
        VerbCommon common;
} Arguments;

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = {
        { "tik", 0, OPTION_REQUIRED, "FILE", "Launch", "Use this transport integrity key, 16 bytes", "@file",
                        option_set_string, AT(tik), 0 },
        { "tek", 0, OPTION_REQUIRED, "FILE", NULL, "Use this transport encryption key, 16 bytes", "@file",
                        option_set_string, AT(tek), 0 },
        { "tk", 0, OPTION_REQUIRED, "FILE", NULL, "Use TEK and TIK from one file, 32 bytes", "@file",
                        option_set_string, AT(tk), 0 },
        { "measurement", 'm', OPTION_REQUIRED, "BASE64", NULL,
                        "Use this measurement, which the host reported and you validated", NULL,
                        option_set_string, AT(measurement), 0 },
        { "launch-measure-blob", 0, OPTION_REQUIRED, "BASE64", NULL,
                        "Use this measurement, in sevctl's words", NULL, option_set_string, AT(measurement),
                        OPTION_HIDDEN },
        { "inject-secret", 's', OPTION_REQUIRED, "ALIAS-OR-GUID:FILE", "Secrets",
                        "Add a secret for the guest (repeatable); alias: luks-key", NULL, option_append,
                        AT(secrets), 0 },
        { "secret", 0, OPTION_REQUIRED, "GUID:FILE", NULL, "Add a secret, in sevctl's words", NULL,
                        option_append, AT(secrets), OPTION_HIDDEN },
        { "firmware", 'f', OPTION_REQUIRED, "FILE", NULL,
                        "Check that the secrets fit the area of this firmware", "@file", option_set_string,
                        AT(firmware), 0 },
        VERB_HELP_ROWS,
};

#define LAUNCH "tik tek tk measurement launch-measure-blob "

static const OptionCommand commands[] = {
        { "build", "HEADER-FILE PAYLOAD-FILE", "Build a packet from secrets",
                        LAUNCH "inject-secret secret firmware" },
        { "open", "HEADER-FILE PAYLOAD-FILE", "List the secrets in a packet", LAUNCH },
};

static const OptionRule rules[] = { { "tk", NULL, "tik tek", "it holds both keys" } };

static const OptionTable table = {
        .program = "cvmspawn secret",
        .summary = "Build the packet that brings secrets into a launched SEV or SEV-ES guest, or look into one.",
        .zone = "verifier",
        .epilog = "Exit status: 0 success, 1 usage error or failure, 2 open: the packet is not authentic.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .commands = commands,
        .n_commands = ELEMENTSOF(commands),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

static int read_key(const char *path, size_t size, void *ret, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf b = {};
        int r = secret_buf_read_path(&b, path, 4096);

        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        if (b.size != size)
                return error_set(reterr, -EINVAL, "'%s': expected a key of %zu bytes, got %zu", path, size,
                                b.size);
        memcpy(ret, b.data, size);
        return 0;
}

static int read_keys(const Arguments *a, SevKeys *ret, char **reterr) {
        int r;

        if (!a->tk && (!a->tik || !a->tek))
                return error_set(reterr, -EINVAL, "expected --tk, or both --tik and --tek");
        if (a->tk)
                return read_key(a->tk, sizeof(*ret), ret, reterr);
        r = read_key(a->tik, SEV_KEY_SIZE, ret->tik, reterr);
        return r < 0 ? r : read_key(a->tek, SEV_KEY_SIZE, ret->tek, reterr);
}

static int read_measurement(const Arguments *a, uint8_t ret[static SEV_MEASURE_SIZE], char **reterr) {
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t size;

        if (!a->measurement)
                return error_set(reterr, -EINVAL,
                                "--measurement is missing: pass the measurement that the host reported for this launch");
        if (base64_decode(a->measurement, strlen(a->measurement), &bytes, &size) < 0 ||
                        size != SEV_MEASURE_SIZE + SEV_NONCE_SIZE)
                return error_set(reterr, -EINVAL, "--measurement: expected base64 text of 48 bytes");
        memcpy(ret, bytes, SEV_MEASURE_SIZE);
        return 0;
}

static int check_size(const Arguments *a, size_t size, char **reterr) {
        _cleanup_free_ OvmfInfo *info = NULL;
        _cleanup_free_ char *image = NULL;
        size_t image_size;
        int r;

        if (size > SECRET_PACKET_SIZE_MAX)
                return error_set(reterr, -E2BIG,
                                "the secrets take %zu bytes, but the secure processor accepts %u", size,
                                SECRET_PACKET_SIZE_MAX);
        if (!a->firmware)
                return 0;
        info = calloc(1, sizeof(OvmfInfo));
        if (!info)
                return -ENOMEM;
        r = file_read_all(a->firmware, FIRMWARE_SIZE_MAX, &image, &image_size);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", a->firmware, strerror(-r));
        r = ovmf_parse((const uint8_t *) image, image_size, info, reterr);
        if (r < 0)
                return r == -ENOMEM ? r : error_prefix(reterr, r, "--firmware: '%s'", a->firmware);
        if (!info->secret.present || info->secret.base == 0 || size > info->secret.size)
                return error_set(reterr, -E2BIG,
                                "the secrets take %zu bytes, but this firmware's secret area has %u", size,
                                info->secret.present && info->secret.base != 0 ? info->secret.size : 0);
        return 0;
}

/* The secure processor takes them together or not at all. */
static int write_packet(char *const *paths, const uint8_t header[static SECRET_HEADER_SIZE],
                const uint8_t *payload, size_t size, char **reterr) {
        _cleanup_free_ char *head = base64_encode(header, SECRET_HEADER_SIZE),
                            *body = base64_encode(payload, size);
        size_t failed;
        int r;

        if (!head || !body)
                return -ENOMEM;
        const AtomicFile files[] = { { paths[0], head, strlen(head), 0666 },
                { paths[1], body, strlen(body), 0666 } };

        r = files_write_atomic(files, ELEMENTSOF(files), ATOMIC_FILE_REPLACE, &failed);
        return r < 0 ? error_set(reterr, r, "cannot write '%s': %s", paths[failed], strerror(-r)) : 0;
}

static int build(const Arguments *a, const SevKeys *keys, const uint8_t *measure, char *const *paths,
                char **reterr) {
        _cleanup_(secret_table_done) SecretTable t = {};
        _cleanup_(secret_buf_done) SecretBuf table_bytes = {};
        _cleanup_free_ uint8_t *payload = NULL;
        uint8_t header[SECRET_HEADER_SIZE];
        int r = 0;

        if (!a->secrets)
                return error_set(reterr, -EINVAL, "--inject-secret is missing: nothing to inject");
        STRV_FOREACH(s, a->secrets) {
                r = secret_spec_add(&t, *s, reterr);
                if (r < 0)
                        return r;
        }
        r = secret_table_build(&t, /* pad_always= */ false, &table_bytes);
        if (r >= 0)
                r = check_size(a, table_bytes.size, reterr);
        if (r < 0)
                return r;
        payload = malloc(table_bytes.size);
        if (!payload)
                return -ENOMEM;
        r = secret_packet_seal(keys, measure, &table_bytes, crypto_random, NULL, header, payload);
        return r < 0 ? r : write_packet(paths, header, payload, table_bytes.size, reterr);
}

static int read_base64(const char *path, uint8_t **ret, size_t *ret_size, char **reterr) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = file_read_all(path, 64 * 1024, &text, &size);

        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        while (size > 0 && strchr("\r\n", text[size - 1]))
                size--;
        if (size == 0)
                return error_set(reterr, -EBADMSG, "'%s' is empty, expected base64 text", path);
        if (base64_decode(text, size, ret, ret_size) < 0)
                return error_set(reterr, -EBADMSG, "'%s' is not base64 text", path);
        return 0;
}

/* GUIDs and sizes; never the bytes. */
static int open_packet(const SevKeys *keys, const uint8_t *measure, char *const *paths, Verdict *ret,
                char **reterr) {
        _cleanup_free_ uint8_t *header = NULL, *payload = NULL;
        _cleanup_(secret_buf_done) SecretBuf bytes = {};
        _cleanup_(secret_table_done) SecretTable t = {};
        size_t header_size, payload_size;
        int r;

        r = read_base64(paths[0], &header, &header_size, reterr);
        if (r >= 0)
                r = read_base64(paths[1], &payload, &payload_size, reterr);
        if (r >= 0 && header_size != SECRET_HEADER_SIZE)
                r = error_set(reterr, -EBADMSG, "'%s': expected a header of %u bytes, got %zu", paths[0],
                                SECRET_HEADER_SIZE, header_size);
        if (r >= 0)
                r = secret_packet_open(keys, measure, header, payload, payload_size, &bytes, ret);
        if (r < 0)
                return r;
        if (*ret != VERDICT_AUTHENTIC)
                return error_set(reterr, -EKEYREJECTED,
                                "the packet is not authentic: it was made with other keys, for another measurement, or was changed");
        r = secret_table_parse(bytes.data, bytes.size, &t, reterr);
        if (r < 0)
                return r;
        FOREACH_ARRAY(e, t.items, t.n_items) {
                char text[GUID_TEXT_SIZE];

                guid_format(&e->guid, text);
                (void) printf("%s %zu bytes\n", text, e->value.size);
        }
        return 0;
}

static int work(const Arguments *a, char **words, Verdict *ret, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf memory = {};
        uint8_t measure[SEV_MEASURE_SIZE];
        int r;

        if (strv_length(words) != 3)
                return error_set(reterr, -EINVAL,
                                "expected build or open, and the files of header and payload");
        r = secret_buf_alloc(&memory, sizeof(SevKeys));
        if (r >= 0)
                r = read_keys(a, (SevKeys *) memory.data, reterr);
        if (r >= 0)
                r = read_measurement(a, measure, reterr);
        if (r < 0)
                return r;
        if (streq(words[0], "build"))
                return build(a, (SevKeys *) memory.data, measure, words + 1, reterr);
        return open_packet((SevKeys *) memory.data, measure, words + 1, ret, reterr);
}

static int secret_run(void *arguments, char **words, char **reterr) {
        Verdict verdict = VERDICT_UNVERIFIED;
        int r;

        secret_forbid_core();
        r = work(arguments, words, &verdict, reterr);
        return r < 0 && verdict == VERDICT_NOT_AUTHENTIC
                        ? verb_failed(verdict_exit_status(verdict), r, reterr)
                        : r;
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .run = secret_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
