/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-owner.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "qmp-sev.h"
#include "run-check.h"
#include "run-platform.h"
#include "run-programs.h"
#include "strutil.h"

#define QMP_USEC (60 * UINT64_C(1000000)) /* each question to the secure processor */

int run_owner_options(const VmConfig *config, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;
        int r = config->owner_dir ? strv_pushf(&l, "--owner-dir=%s", config->owner_dir)
                                  : strv_pushf(&l, "--attestation-service=%s", config->attestation_service);

        STRV_FOREACH(o, config->owner)
                if (r >= 0)
                        r = strv_push(&l, *o);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

/* The program has keys, certificates and their formats; here are paths. */
int owner_check(const VmConfig *config, char **reterr) {
        _cleanup_(program_child_done) ProgramChild child = PROGRAM_CHILD_NONE;
        _cleanup_strv_free_ char **options = NULL;
        _cleanup_js_ Json *answer = NULL;
        int r;

        if (!vm_config_attested(config))
                return 0;
        r = run_owner_options(config, &options);
        if (r >= 0)
                r = strv_push(&options, "--check");
        if (r >= 0)
                r = program_child_start(OWNER_AGENT_PROGRAM, options, NULL, 0, &child, reterr);
        return r < 0 ? r : program_child_finish(&child, &answer, reterr);
}

static int launch_request(const VmConfig *config, const LaunchInputs *in, const QmpSevCapabilities *platform,
                Json **ret) {
        _cleanup_js_ Json *j = js_object();
        /* What nobody asked for is the owner's to say. */
        bool policy = config->owner_dir || config->coco_policy;

        if (!j || js_set(j, "type", js_string("launch")) < 0 ||
                        js_set(j, "scheme", js_string(coco_of(in->plan.mode)->scheme)) < 0 ||
                        (policy && js_set(j, "policy", js_u64(in->plan.policy)) < 0) ||
                        js_set(j, "pdh", js_base64(platform->pdh, sizeof(platform->pdh))) < 0 ||
                        js_set(j, "cert-chain",
                                        js_base64(platform->cert_chain, sizeof(platform->cert_chain))) < 0 ||
                        js_set(j, "cpu-id", js_base64(platform->cpu0_id, sizeof(platform->cpu0_id))) < 0 ||
                        js_set(j, "secret-area", js_u64(in->secret_area)) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(j);
        return 0;
}

/* Session, certificate and policy of the answer become QEMU's. */
static int take_session(const Json *answer, LaunchInputs *in, char **reterr) {
        const char *session = js_string_value(js_get(answer, "session"));
        const char *dh_cert = js_string_value(js_get(answer, "dh-cert"));
        uint64_t policy;
        int r;

        if (!session || !dh_cert || js_u64_value(js_get(answer, "policy"), &policy) < 0 ||
                        policy > UINT32_MAX)
                return error_set(reterr, -EBADMSG, "the owner program returned no session");
        if (!coco_policy_fits(coco_of(in->plan.mode), policy))
                return error_set(reterr, -EKEYREJECTED,
                                "the owner's policy 0x%" PRIx64 " is not one for --coco=%s", policy,
                                coco_mode_to_string(in->plan.mode));
        in->plan.policy = policy;
        r = launch_inputs_keep_text(in, dh_cert, LAUNCH_FD_DH_CERT, &in->dh_cert);
        return r < 0 ? r : launch_inputs_keep_text(in, session, LAUNCH_FD_SESSION, &in->session);
}

int run_owner_session(OwnerAgent *c, RunHook *h, const VmConfig *config, const char *qemu,
                const QemuUser *user, LaunchInputs *in, char **reterr) {
        _cleanup_free_ QmpSevCapabilities *platform = calloc(1, sizeof(QmpSevCapabilities));
        _cleanup_js_ Json *request = NULL, *answer = NULL;
        int r;

        if (!platform)
                return -ENOMEM;
        r = run_ask_platform(run_hook_loop(h), qemu, user, platform, reterr);
        if (r >= 0)
                r = launch_request(config, in, platform, &request);
        if (r >= 0)
                r = owner_agent_ask(c, h, TAKE_PTR(request), "session", &answer, reterr);
        return r < 0 ? r : take_session(answer, in, reterr);
}

/* query-sev and the measurement, as the owner wants them. */
static int validate_request(QmpClient *qmp, const LaunchInputs *in, const MeasureAnswer *answer, Json **ret,
                char **reterr) {
        _cleanup_js_ Json *j = js_object();
        uint8_t blob[QMP_SEV_MEASUREMENT_SIZE + QMP_SEV_MNONCE_SIZE];
        const char *digest = answer->json ? measure_answer_digest(answer) : NULL;
        QmpSevMeasurement m;
        QmpSev sev;
        int r;

        r = qmp_query_sev_wait(qmp, QMP_USEC, &sev, reterr);
        if (r < 0)
                return r;
        if (!sev.enabled || sev.snp || sev.policy != in->plan.policy)
                return error_set(reterr, -EKEYREJECTED,
                                "QEMU launched a guest with policy 0x%" PRIx64 " instead of 0x%" PRIx64,
                                sev.policy, in->plan.policy);
        if (sev.state != QMP_SEV_LAUNCH_SECRET)
                return error_set(reterr, -EKEYREJECTED,
                                "the guest is in the state '%s', not waiting for secrets",
                                qmp_sev_state_to_string(sev.state));
        r = qmp_query_sev_launch_measure_wait(qmp, QMP_USEC, &m, reterr);
        if (r < 0)
                return r;
        memcpy(blob, m.measurement, sizeof(m.measurement));
        memcpy(blob + sizeof(m.measurement), m.mnonce, sizeof(m.mnonce));
        if (!j || js_set(j, "type", js_string("validate")) < 0 ||
                        js_set(j, "api-major", js_u64(sev.api_major)) < 0 ||
                        js_set(j, "api-minor", js_u64(sev.api_minor)) < 0 ||
                        js_set(j, "build-id", js_u64(sev.build_id)) < 0 ||
                        js_set(j, "policy", js_u64(sev.policy)) < 0 ||
                        js_set(j, "measurement", js_base64(blob, sizeof(blob))) < 0 ||
                        (digest && js_set(j, "digest", js_string(digest)) < 0))
                return -ENOMEM;
        *ret = TAKE_PTR(j);
        return 0;
}

static int decode(const Json *answer, const char *member, SecretBuf *ret) {
        const Json *value = js_get(answer, member);
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t size;
        int r;

        if (!js_string_value(value))
                return -EBADMSG;
        r = base64_decode(js_string_value(value), js_string_length(value), &bytes, &size);
        return r < 0 ? r : secret_buf_copy(ret, bytes, size);
}

static int inject(QmpClient *qmp, const Json *answer, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf header = {}, payload = {};
        const Json *gpa = js_get(answer, "secret-gpa");
        uint64_t where = 0;

        if (decode(answer, "secret-header", &header) < 0 || decode(answer, "secret-payload", &payload) < 0 ||
                        (gpa && js_u64_value(gpa, &where) < 0))
                return error_set(reterr, -EBADMSG, "the owner program returned no packet to inject");
        return qmp_sev_inject_launch_secret_wait(
                        qmp, &header, &payload, gpa ? &where : NULL, QMP_USEC, reterr);
}

int run_owner_validate(OwnerAgent *c, RunHook *h, const LaunchInputs *in, const MeasureAnswer *answer,
                bool *ret_injected, char **reterr) {
        _cleanup_js_ Json *request = NULL, *packet = NULL;
        int r;

        r = validate_request(run_hook_qmp(h), in, answer, &request, reterr);
        if (r >= 0)
                r = owner_agent_ask(c, h, TAKE_PTR(request), "packet", &packet, reterr);
        if (r < 0)
                return r;
        *ret_injected = js_get(packet, "secret-header");
        return *ret_injected ? inject(run_hook_qmp(h), packet, reterr) : 0;
}
