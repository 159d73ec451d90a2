/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a launch digest of SEV or SEV-ES to what query-sev-launch-measure answers: HMAC | nonce in base64. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "attest-launch.h"
#include "encode.h"
#include "error.h"
#include "input.h"
#include "measure-cli.h"
#include "secret.h"
#include "strutil.h"

#define BLOB_SIZE (SEV_MEASURE_SIZE + SEV_NONCE_SIZE)

static int read_byte(const char *option, const char *text, uint8_t *ret, char **reterr) {
        uint64_t v;

        if (!text)
                return error_set(reterr, -EINVAL, "--tik requires --%s (query-sev shows it)", option);
        if (parse_u64_max(text, UINT8_MAX, &v) < 0)
                return error_set(reterr, -EINVAL, "--%s: expected a number from 0 to 255, not '%s'", option,
                                text);
        *ret = (uint8_t) v;
        return 0;
}

static int read_blob(const char *option, const char *text, uint8_t *ret, size_t n, char **reterr) {
        _cleanup_free_ uint8_t *data = NULL;
        size_t size;

        if (base64_decode(text, strlen(text), &data, &size) < 0 || size != n)
                return error_set(reterr, -EINVAL, "--%s: expected %zu bytes in base64", option, n);
        memcpy(ret, data, n);
        return 0;
}

/* The key is a secret: it comes from a file, raw or in base64, never from the command line. */
static int read_tik(const char *path, SecretBuf *ret, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf raw = {};
        uint8_t *decoded = NULL;
        size_t n, size = 0;
        int r;

        r = input_read_secret("tik", path, 4096, &raw, reterr);
        if (r < 0)
                return r;
        if (raw.size == SEV_KEY_SIZE)
                return secret_buf_copy(ret, raw.data, raw.size);
        n = raw.size;
        while (n > 0 && (raw.data[n - 1] == '\n' || raw.data[n - 1] == '\r'))
                n--;
        r = base64_decode((const char *) raw.data, n, &decoded, &size);
        if (r >= 0 && size == SEV_KEY_SIZE)
                r = secret_buf_copy(ret, decoded, size);
        else
                r = error_set(reterr, -EINVAL, "--tik: '%s' contains neither 16 bytes nor their base64",
                                path);
        if (decoded)
                erase_memory(decoded, size);
        free(decoded);
        return r;
}

static int read_parameters(const HmacArguments *h, SevMeasurement *m, char **reterr) {
        uint64_t policy;
        int r;

        r = read_byte("api-major", h->api_major, &m->api_major, reterr);
        if (r >= 0)
                r = read_byte("api-minor", h->api_minor, &m->api_minor, reterr);
        if (r >= 0)
                r = read_byte("build-id", h->build_id, &m->build, reterr);
        if (r < 0)
                return r;
        if (!h->policy || parse_u64_max(h->policy, UINT32_MAX, &policy) < 0)
                return error_set(reterr, -EINVAL, "--tik requires --policy, a 32 bit number");
        m->policy = (uint32_t) policy;
        return 0;
}

int print_launch_measure(const HmacArguments *h, const LaunchDigest *digest, char **reterr) {
        uint8_t expected[BLOB_SIZE], blob[BLOB_SIZE];
        _cleanup_(secret_buf_done) SecretBuf tik = {};
        _cleanup_free_ char *text = NULL;
        SevMeasurement m = { .nonce_size = SEV_NONCE_SIZE };
        int r;

        if (digest->size != SEV_DIGEST_SIZE)
                return error_set(reterr, -EINVAL, "--tik requires --mode=sev or seves");
        if (!h->nonce == !h->launch_measure)
                return error_set(reterr, -EINVAL, "--tik requires either --nonce or --launch-measure");
        r = read_parameters(h, &m, reterr);
        if (r >= 0 && h->nonce)
                r = read_blob("nonce", h->nonce, m.nonce, sizeof(m.nonce), reterr);
        if (r >= 0 && h->launch_measure) {
                r = read_blob("launch-measure", h->launch_measure, expected, sizeof(expected), reterr);
                if (r >= 0)
                        memcpy(m.nonce, expected + SEV_MEASURE_SIZE, SEV_NONCE_SIZE);
        }
        if (r >= 0)
                r = read_tik(h->tik, &tik, reterr);
        if (r < 0)
                return r;

        memcpy(m.digest, digest->bytes, SEV_DIGEST_SIZE);
        r = sev_measurement_compute(tik.data, &m, blob);
        if (r < 0)
                return r;
        memcpy(blob + SEV_MEASURE_SIZE, m.nonce, SEV_NONCE_SIZE);
        text = base64_encode(blob, sizeof(blob));
        if (!text)
                return -ENOMEM;
        if (printf("%s\n", text) < 0)
                return -EIO;
        return h->launch_measure && !constant_time_equal(blob, expected, sizeof(blob)) ? MEASURE_DIFFERENT
                                                                                       : 0;
}
