/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --inject-secret: reads the secrets, and seals them for the launch that was found good. */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "atomic-file.h"
#include "crypto-random.h"
#include "fd.h"
#include "firmware-ovmf.h"
#include "secret-file.h"
#include "strutil.h"
#include "validate.h"

#define STRICT_FILE_SIZE_MAX (64u * 1024 * 1024) /* the original reads anything; no firmware could take it */

/* 8-4-4-4-12 hexadecimal digits in any case. */
static bool is_guid(const char *s) {
        static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

        for (size_t i = 0; i < sizeof(shape); i++)
                if (shape[i] == 'x' ? !isxdigit((unsigned char) s[i]) : s[i] != shape[i])
                        return false;
        return true;
}

static int find_guid(Validate *v, const char *name, Guid *ret) {
        if (is_guid(name) ? guid_parse(name, ret) < 0 : secret_guid_from_alias(name, ret) < 0)
                return validate_fail(v, VALIDATE_UNSUPPORTED, "Secret alias '%s' is not known", name);
        return 0;
}

static int load_secret(Validate *v, const char *spec) {
        const char *colon = strchr(spec, ':');
        _cleanup_(secret_buf_done) SecretBuf value = {};
        _cleanup_free_ char *name = NULL;
        char text[GUID_TEXT_SIZE];
        Guid guid;
        int r;

        /* A path may hold colons; the original refuses it. */
        if (!colon || (v->args.strict && strchr(colon + 1, ':')))
                return validate_fail(
                                v, VALIDATE_UNSUPPORTED, "Expecting ALIAS-OR-GUID:PATH for injected secret");
        name = strndup(spec, (size_t) (colon - spec));
        if (!name)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        r = find_guid(v, name, &guid);
        if (r < 0)
                return r;
        guid_format(&guid, text);
        if (secret_table_find(&v->secrets, &guid))
                return validate_fail(v, VALIDATE_UNSUPPORTED, "Secret for GUID %s already loaded", text);
        r = secret_buf_read_path(
                        &value, colon + 1, v->args.strict ? STRICT_FILE_SIZE_MAX : SECRET_PACKET_SIZE_MAX);
        if (r == -E2BIG)
                return validate_fail(v, VALIDATE_UNSUPPORTED,
                                "Secret '%s' is larger than the %u bytes that a launch can take", colon + 1,
                                SECRET_PACKET_SIZE_MAX);
        if (r < 0)
                return validate_fail_file(v, r, colon + 1);
        if (secret_table_add(&v->secrets, &guid, &value) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        return 0;
}

/* What the firmware has set aside. An image without a readable table is not refused: with its own address QEMU can
 * inject a secret into any guest. */
static int check_area(Validate *v, size_t size) {
        _cleanup_free_ char *error = NULL;
        _cleanup_free_ OvmfInfo *info = calloc(1, sizeof(OvmfInfo));

        if (!info)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        if (size > SECRET_PACKET_SIZE_MAX)
                return validate_fail(v, VALIDATE_UNSUPPORTED,
                                "Secrets take %zu bytes, but the secure processor accepts no more than %u",
                                size, SECRET_PACKET_SIZE_MAX);
        if (ovmf_parse(v->firmware, v->firmware_size, info, &error) < 0)
                return 0;
        if (!info->secret.present || info->secret.base == 0 || info->secret.size == 0)
                return validate_fail(v, VALIDATE_UNSUPPORTED,
                                "This firmware has no area for secrets: take a build for SEV (OVMF AmdSev)");
        if (size > info->secret.size)
                return validate_fail(v, VALIDATE_UNSUPPORTED,
                                "Secrets take %zu bytes, but the firmware's secret area has only %u", size,
                                info->secret.size);
        return 0;
}

static int build_table(Validate *v, SecretBuf *ret) {
        if (secret_table_build(&v->secrets, v->args.strict, ret) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        if (v->args.strict)
                validate_debug_hex(v, "Table(hex)", ret->data, ret->size);
        return 0;
}

int validate_load_secrets(Validate *v) {
        _cleanup_(secret_buf_done) SecretBuf table = {};

        STRV_FOREACH(s, v->args.inject_secrets) {
                int r = load_secret(v, *s);

                if (r < 0)
                        return r;
        }
        if (v->args.strict || v->secrets.n_items == 0)
                return 0;
        if (secret_table_build(&v->secrets, false, &table) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        return check_area(v, table.size);
}

int validate_seal_secrets(Validate *v, char **ret_header, char **ret_payload) {
        _cleanup_(secret_buf_done) SecretBuf table = {};
        _cleanup_free_ uint8_t *payload = NULL;
        _cleanup_free_ char *header_text = NULL, *payload_text = NULL;
        uint8_t header[SECRET_HEADER_SIZE];
        int r;

        r = build_table(v, &table);
        if (r < 0)
                return r;
        payload = malloc(table.size);
        if (!payload ||
                        secret_packet_seal(validate_keys(v), v->reported, &table, crypto_random, NULL,
                                        header, payload) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        header_text = base64_encode(header, sizeof(header));
        payload_text = base64_encode(payload, table.size);
        if (!header_text || !payload_text)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        validate_debug(v, "Header: %s (%zu bytes)", header_text, sizeof(header));
        validate_debug(v, "Secret: %s (%zu bytes)", payload_text, table.size);
        *ret_header = TAKE_PTR(header_text);
        *ret_payload = TAKE_PTR(payload_text);
        return 0;
}

int validate_write_secrets(Validate *v) {
        _cleanup_free_ char *header = NULL, *payload = NULL;
        size_t failed;
        int r;

        r = validate_seal_secrets(v, &header, &payload);
        if (r < 0)
                return r;
        const AtomicFile files[] = {
                { v->args.secret_header, header, strlen(header), 0666 },
                { v->args.secret_payload, payload, strlen(payload), 0666 },
        };

        r = files_write_atomic(files, ELEMENTSOF(files), ATOMIC_FILE_REPLACE, &failed);
        return r < 0 ? validate_fail_file(v, r, files[failed].path) : 0;
}
