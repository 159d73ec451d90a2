/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the guest owner hands to the secure processor: host data, ID block and authentication (SNP); values for
 * its reports (TDX); certificate and session (SEV, SEV-ES).
 * Sizes are checked here, since QEMU's own messages do not name the option: AMD 56860 (ID block 96 bytes, ID authentication 4096),
 * 55766 (GODH certificate 2084, session 128). */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "encode.h"
#include "error.h"
#include "fd.h"
#include "resolve-parts.h"
#include "snp-id-block.h"
#include "strutil.h"

#define BLOB_FILE_MAX  (64u * 1024u) /* 4096 bytes in base64 and some white space */
#define HOST_DATA_SIZE 32u
#define MR_SIZE        48u
#define ID_BLOCK_SIZE  96u
#define ID_AUTH_SIZE   4096u
#define GODH_SIZE      2084u
#define SESSION_SIZE   128u

typedef struct BlobRule {
        const char *option;
        size_t size;
        bool shorter; /* fewer bytes are padded with zeros */
        bool hex;     /* may be given as hexadecimal digits */
} BlobRule;

/* Without white space, in place: base64 in files has newlines. */
static size_t strip(char *text, size_t n) {
        size_t k = 0;

        for (size_t i = 0; i < n; i++)
                if (!strchr(" \t\r\n", text[i]) || text[i] == 0)
                        text[k++] = text[i];
        text[k] = 0;
        return k;
}

static bool size_fits(const BlobRule *rule, size_t n) {
        return n == rule->size || (rule->shorter && n > 0 && n < rule->size);
}

/* Text as hex (with 0x or without) or base64, or -EINVAL. Hexadecimal digits are never taken for base64. */
static int decode_text(const BlobRule *rule, const char *text, size_t n, uint8_t **ret, size_t *ret_size) {
        size_t prefix = rule->hex && n > 2 && strncmp(text, "0x", 2) == 0 ? 2 : 0;

        if (rule->hex && strspn(text + prefix, "0123456789abcdefABCDEF") == n - prefix)
                return hex_decode(text + prefix, n - prefix, ret, ret_size);
        return base64_decode(text, n, ret, ret_size);
}

/* A file holds the raw bytes, or their text. */
static int read_blob_file(
                const BlobRule *rule, const char *path, uint8_t **ret, size_t *ret_size, char **reterr) {
        _cleanup_free_ char *content = NULL;
        size_t n;
        int r = file_read_all(path, BLOB_FILE_MAX, &content, &n);

        if (r < 0)
                return error_set(reterr, r,
                                "--%s: '%s' is neither %sbase64 of %u bytes nor a file that can be read: %s",
                                rule->option, path, rule->hex ? "hex nor " : "", (unsigned) rule->size,
                                strerror(-r));
        if (size_fits(rule, n)) {
                *ret = (uint8_t *) TAKE_PTR(content);
                *ret_size = n;
                return 0;
        }
        size_t k = strip(content, n);
        uint8_t *decoded = NULL;
        if (decode_text(rule, content, k, &decoded, ret_size) >= 0 && size_fits(rule, *ret_size)) {
                *ret = decoded;
                return 0;
        }
        free(decoded);
        return error_set(reterr, -EBADMSG, "--%s: '%s' is %zu bytes, expected %u bytes or their base64",
                        rule->option, path, n, (unsigned) rule->size);
}

/* The value of an option as exactly rule->size bytes in *ret (owned). */
static int read_blob(const BlobRule *rule, const char *value, uint8_t **ret, char **reterr) {
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t n = 0;

        /* A file that is there wins: a path can look like base64. */
        if (access(value, F_OK) < 0 && decode_text(rule, value, strlen(value), &bytes, &n) >= 0) {
                if (!size_fits(rule, n))
                        return error_set(reterr, -EINVAL, "--%s: the value is %zu bytes, expected %u",
                                        rule->option, n, (unsigned) rule->size);
        } else {
                int r = read_blob_file(rule, value, &bytes, &n, reterr);

                if (r < 0)
                        return r;
        }

        *ret = calloc(1, rule->size);
        if (!*ret)
                return -ENOMEM;
        memcpy(*ret, bytes, n);
        return 0;
}

/* As read_blob(), as base64 for QEMU. */
static int read_base64(
                const BlobRule *rule, const char *value, char **ret, uint8_t **ret_bytes, char **reterr) {
        _cleanup_free_ uint8_t *bytes = NULL;
        int r;

        if (!value)
                return 0;
        r = read_blob(rule, value, &bytes, reterr);
        if (r < 0)
                return r;
        *ret = base64_encode(bytes, rule->size);
        if (!*ret)
                return -ENOMEM;
        if (ret_bytes)
                *ret_bytes = TAKE_PTR(bytes);
        return 0;
}

/* QEMU reads these as files of base64 text, leniently: what it would misread is rewritten to a sealed memory file. */
static int pass_file(const BlobRule *rule, const char *path, LaunchFd number, LaunchInputs *in, char **ret,
                char **reterr) {
        _cleanup_free_ uint8_t *bytes = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        if (!path)
                return 0;
        r = read_blob(rule, path, &bytes, reterr);
        if (r < 0)
                return r;
        text = base64_encode(bytes, rule->size);
        if (!text)
                return -ENOMEM;
        r = launch_inputs_keep_text(in, text, number, ret);
        return r < 0 ? error_set(reterr, r, "cannot pass --%s on: %s", rule->option, strerror(-r)) : 0;
}

/* A malformed ID block or authentication is reported here, by offset; the processor would only answer with an error code, at `cont`. */
static int check_id_pair(const uint8_t *block, const uint8_t *auth, LaunchInputs *in, char **reterr) {
        SnpIdBlock b;
        SnpIdAuth a;
        int r;

        if (!block || !auth)
                return 0;
        r = snp_id_block_decode(block, ID_BLOCK_SIZE, &b, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--id-block");
        r = snp_id_auth_decode(auth, ID_AUTH_SIZE, &a, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--id-auth");
        in->author_key = a.has_author;
        return 0;
}

int resolve_blobs(const VmConfig *config, LaunchInputs *in, char **reterr) {
        static const BlobRule host_data = { "host-data", HOST_DATA_SIZE, false, true };
        static const BlobRule mrconfigid = { "mrconfigid", MR_SIZE, false, true };
        static const BlobRule mrowner = { "mrowner", MR_SIZE, false, true };
        static const BlobRule mrownerconfig = { "mrownerconfig", MR_SIZE, false, true };
        static const BlobRule id_block = { "id-block", ID_BLOCK_SIZE, false, false };
        static const BlobRule id_auth = { "id-auth", ID_AUTH_SIZE, true, false };
        static const BlobRule dh_cert = { "dh-cert", GODH_SIZE, false, false };
        static const BlobRule session = { "session", SESSION_SIZE, false, false };
        _cleanup_free_ uint8_t *block = NULL, *auth = NULL;
        int r;

        r = read_base64(&host_data, config->host_data, &in->host_data, NULL, reterr);
        if (r >= 0)
                r = read_base64(&mrconfigid, config->mrconfigid, &in->mrconfigid, NULL, reterr);
        if (r >= 0)
                r = read_base64(&mrowner, config->mrowner, &in->mrowner, NULL, reterr);
        if (r >= 0)
                r = read_base64(&mrownerconfig, config->mrownerconfig, &in->mrownerconfig, NULL, reterr);
        if (r >= 0)
                r = read_base64(&id_block, config->id_block, &in->id_block, &block, reterr);
        if (r >= 0)
                r = read_base64(&id_auth, config->id_auth, &in->id_auth, &auth, reterr);
        if (r >= 0)
                r = pass_file(&dh_cert, config->dh_cert, LAUNCH_FD_DH_CERT, in, &in->dh_cert, reterr);
        if (r >= 0)
                r = pass_file(&session, config->session, LAUNCH_FD_SESSION, in, &in->session, reterr);
        /* Made for this host before QEMU starts; --print=argv shows where they will be. */
        if (r >= 0 && vm_config_attested(config) &&
                        (asprintf(&in->dh_cert, "/proc/self/fd/%d", LAUNCH_FD_DH_CERT) < 0 ||
                                        asprintf(&in->session, "/proc/self/fd/%d", LAUNCH_FD_SESSION) < 0))
                r = -ENOMEM;
        return r < 0 ? r : check_id_pair(block, auth, in, reterr);
}
