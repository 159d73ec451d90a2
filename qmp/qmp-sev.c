/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "qmp-sev.h"

#include <errno.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "strutil.h"

#define SECRET_MIN 16u /* firmware: GUEST_LENGTH is a multiple of 16, and not 0 */

static const char *const sev_state_table[] = {
        [QMP_SEV_UNINIT] = "uninit",
        [QMP_SEV_LAUNCH_UPDATE] = "launch-update",
        [QMP_SEV_LAUNCH_SECRET] = "launch-secret",
        [QMP_SEV_RUNNING] = "running",
        [QMP_SEV_SEND_UPDATE] = "send-update",
        [QMP_SEV_RECEIVE_UPDATE] = "receive-update",
};
static_assert(ELEMENTSOF(sev_state_table) == _QMP_SEV_STATE_MAX, "a word for each state");

const char *qmp_sev_state_to_string(QmpSevState s) {
        return s >= 0 && s < _QMP_SEV_STATE_MAX ? sev_state_table[s] : NULL;
}

static int parse_state(const Json *value, void *target, char **reterr) {
        const char *word = js_string_value(value);

        for (QmpSevState i = 0; word && i < _QMP_SEV_STATE_MAX; i++)
                if (streq(sev_state_table[i], word)) {
                        *(QmpSevState *) target = i;
                        return 0;
                }
        return error_set(reterr, -EINVAL, "unknown SEV state '%s'", word ?: "");
}

static int parse_type(const Json *value, void *target, char **reterr) {
        const char *word = js_string_value(value);

        if (!streq_ptr(word, "sev") && !streq_ptr(word, "sev-snp"))
                return error_set(reterr, -EINVAL, "expected sev or sev-snp, not '%s'", word ?: "");
        *(bool *) target = streq(word, "sev-snp");
        return 0;
}

int qmp_sev_parse(const Json *value, QmpSev *ret, char **reterr) {
        /* sev-type came with QEMU 9.1; before there was SEV and SEV-ES only. */
        static const JsField fields[] = {
                { "enabled", JS_FIELD_BOOL, offsetof(QmpSev, enabled), true, NULL },
                { "sev-type", JS_FIELD_CUSTOM, offsetof(QmpSev, snp), false, parse_type },
                { "api-major", JS_FIELD_UNSIGNED, offsetof(QmpSev, api_major), true, NULL },
                { "api-minor", JS_FIELD_UNSIGNED, offsetof(QmpSev, api_minor), true, NULL },
                { "build-id", JS_FIELD_UNSIGNED, offsetof(QmpSev, build_id), true, NULL },
                { "state", JS_FIELD_CUSTOM, offsetof(QmpSev, state), true, parse_state },
        };
        static const JsField sev_fields[] = {
                { "policy", JS_FIELD_U64, offsetof(QmpSev, policy), true, NULL },
                { "handle", JS_FIELD_U64, offsetof(QmpSev, handle), true, NULL },
        };
        static const JsField snp_fields[] = {
                { "snp-policy", JS_FIELD_U64, offsetof(QmpSev, policy), true, NULL },
        };
        QmpSev s = {};
        int r;

        r = js_dispatch(value, fields, ELEMENTSOF(fields), /* foreign= */ true, &s, reterr);
        if (r >= 0 && s.snp)
                r = js_dispatch(value, snp_fields, ELEMENTSOF(snp_fields), /* foreign= */ true, &s, reterr);
        else if (r >= 0)
                r = js_dispatch(value, sev_fields, ELEMENTSOF(sev_fields), /* foreign= */ true, &s, reterr);
        if (r < 0)
                return error_prefix(reterr, -EBADMSG, "query-sev");
        *ret = s;
        return 0;
}

/* Decodes a base64 member that must have exactly n bytes. */
static int decode_exact(const Json *object, const char *member, void *buf, size_t n, char **reterr) {
        const Json *value = js_get(object, member);
        const char *text = js_string_value(value);
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t size;

        if (!text)
                return error_set(reterr, -EBADMSG, "member '%s' is missing or not a string", member);
        if (base64_decode(text, js_string_length(value), &bytes, &size) < 0)
                return error_set(reterr, -EBADMSG, "member '%s' is not base64", member);
        if (size != n)
                return error_set(reterr, -EBADMSG, "member '%s' has %zu bytes, expected %zu", member, size,
                                n);
        memcpy(buf, bytes, n);
        return 0;
}

int qmp_sev_measurement_parse(const Json *value, QmpSevMeasurement *ret, char **reterr) {
        uint8_t data[QMP_SEV_MEASUREMENT_SIZE + QMP_SEV_MNONCE_SIZE];
        int r = decode_exact(value, "data", data, sizeof(data), reterr);

        if (r < 0)
                return error_prefix(reterr, r, "query-sev-launch-measure");
        memcpy(ret->measurement, data, sizeof(ret->measurement));
        memcpy(ret->mnonce, data + sizeof(ret->measurement), sizeof(ret->mnonce));
        return 0;
}

int qmp_sev_capabilities_parse(const Json *value, QmpSevCapabilities *ret, char **reterr) {
        static const JsField fields[] = {
                { "cbitpos", JS_FIELD_UNSIGNED, offsetof(QmpSevCapabilities, cbitpos), true, NULL },
                { "reduced-phys-bits", JS_FIELD_UNSIGNED, offsetof(QmpSevCapabilities, reduced_phys_bits),
                                true, NULL },
        };
        QmpSevCapabilities s = {};
        int r;

        r = js_dispatch(value, fields, ELEMENTSOF(fields), /* foreign= */ true, &s, reterr);
        if (r >= 0)
                r = decode_exact(value, "pdh", s.pdh, sizeof(s.pdh), reterr);
        if (r >= 0)
                r = decode_exact(value, "cert-chain", s.cert_chain, sizeof(s.cert_chain), reterr);
        if (r >= 0)
                r = decode_exact(value, "cpu0-id", s.cpu0_id, sizeof(s.cpu0_id), reterr);
        if (r < 0)
                return error_prefix(reterr, -EBADMSG, "query-sev-capabilities");
        *ret = s;
        return 0;
}

int qmp_query_sev_wait(QmpClient *c, uint64_t timeout_usec, QmpSev *ret, char **reterr) {
        _cleanup_js_ Json *value = NULL;
        int r = qmp_call_wait(c, "query-sev", NULL, timeout_usec, &value, reterr);

        return r < 0 ? r : qmp_sev_parse(value, ret, reterr);
}

int qmp_query_sev_launch_measure_wait(
                QmpClient *c, uint64_t timeout_usec, QmpSevMeasurement *ret, char **reterr) {
        _cleanup_js_ Json *value = NULL;
        int r = qmp_call_wait(c, "query-sev-launch-measure", NULL, timeout_usec, &value, reterr);

        return r < 0 ? r : qmp_sev_measurement_parse(value, ret, reterr);
}

int qmp_query_sev_capabilities_wait(
                QmpClient *c, uint64_t timeout_usec, QmpSevCapabilities *ret, char **reterr) {
        _cleanup_js_ Json *value = NULL;
        int r = qmp_call_wait(c, "query-sev-capabilities", NULL, timeout_usec, &value, reterr);

        return r < 0 ? r : qmp_sev_capabilities_parse(value, ret, reterr);
}

static int set_base64(Json *object, const char *key, const SecretBuf *s) {
        char *text = base64_encode(s->data, s->size);

        int r = text ? js_set(object, key, js_string(text)) : -ENOMEM;

        erase_string_free(text);
        return r;
}

int qmp_sev_inject_launch_secret_wait(QmpClient *c, const SecretBuf *header, const SecretBuf *secret,
                const uint64_t *gpa, uint64_t timeout_usec, char **reterr) {
        _cleanup_js_ Json *args = js_object();
        int r;

        if (header->size != QMP_SEV_PACKET_HEADER_SIZE)
                return error_set(reterr, -EINVAL,
                                "the launch secret's packet header has %zu bytes, expected %u", header->size,
                                QMP_SEV_PACKET_HEADER_SIZE);
        if (secret->size < SECRET_MIN || secret->size > QMP_SEV_PACKET_MAX)
                return error_set(reterr, -EINVAL, "the launch secret has %zu bytes, expected %u to %zu",
                                secret->size, SECRET_MIN, QMP_SEV_PACKET_MAX);

        r = set_base64(args, "packet-header", header);
        if (r >= 0)
                r = set_base64(args, "secret", secret);
        if (r >= 0 && gpa)
                r = js_set(args, "gpa", js_u64(*gpa));
        if (r < 0)
                return error_set(reterr, r, "out of memory");
        return qmp_call_wait(c, "sev-inject-launch-secret", TAKE_PTR(args), timeout_usec, NULL, reterr);
}
