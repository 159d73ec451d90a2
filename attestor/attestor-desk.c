/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest owner's desk: keys in a folder, made for one launch on one platform, and secrets from files. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "attest-session.h"
#include "attestor-backend.h"
#include "bytes.h"
#include "crypto-random.h"
#include "encode.h"
#include "error.h"
#include "secret-spec.h"
#include "session-files.h"
#include "strutil.h"

#define API_WITH_MEASURE                                                                                    \
        0x0011u /* 0.17: from here on the packet's MAC covers the measurement (AMD 55766, LAUNCH_SECRET) */

typedef struct Desk {
        char *folder, *name;
        SecretBuf table; /* built; empty: there are no secrets */
        SecretBuf keys;  /* SevKeys, once they are known */
        uint8_t blob[SEV_SESSION_SIZE];
        uint32_t policy;
        bool has_policy; /* else it is the host's word, checked against the session */
        int (*check)(void *userdata, const AttestorLaunch *in, SevCert *ret_pdh,
                        AttestorOutcome *ret_outcome, char **reterr);
        void *userdata;
} Desk;

static void desk_free(void *backend) {
        Desk *d = backend;

        secret_buf_done(&d->table);
        secret_buf_done(&d->keys);
        free(d->folder);
        free(d->name);
        free(d);
}

static uint32_t default_policy(const char *scheme) {
        return streq(scheme, "amd-sev-es") ? 0x7 : 0x3;
}

static int check_launch(const Desk *d, const AttestorLaunch *in, AttestorOutcome *o) {
        uint64_t area = in->has_secret_area ? in->secret_area : ATTESTOR_SECRET_AREA;

        if (!streq(in->scheme, "amd-sev") && !streq(in->scheme, "amd-sev-es"))
                return attestor_refuse(o, VERDICT_UNVERIFIED, "scheme-mismatch",
                                "a desk makes sessions for SEV and SEV-ES, not for '%s'", in->scheme);
        if (d->table.size > area)
                return attestor_refuse(o, VERDICT_POLICY_NOT_MET, "no-room",
                                "the secrets take %zu bytes, this firmware's area for them has %llu%s",
                                d->table.size, (unsigned long long) area,
                                area == 0 ? ": take a build for SEV guests (AmdSevX64)" : "");
        return 1;
}

static int make_folder(const char *path, char **reterr) {
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_set(reterr, -errno, "cannot make the folder '%s': %s", path, strerror(errno));
        return 0;
}

static int make_session(Desk *d, const SevCert *pdh, uint32_t policy, AttestorSession *ret, char **reterr) {
        _cleanup_(attestor_session_done) AttestorSession answer = { .policy = policy };
        _cleanup_(secret_buf_done) SecretBuf memory = {}, keys = {};
        SevSession *s;
        int r = secret_buf_alloc(&memory, sizeof(SevSession));

        if (r < 0)
                return r;
        s = (SevSession *) memory.data;
        r = sev_session_new(pdh, policy, crypto_random, NULL, s, reterr);
        if (r >= 0)
                r = secret_buf_copy(&keys, &s->keys, sizeof(s->keys));
        if (r < 0)
                return r;
        answer.session = base64_encode(s->blob, sizeof(s->blob));
        answer.dh_cert = base64_encode(s->godh, sizeof(s->godh));
        if (!answer.session || !answer.dh_cert)
                return -ENOMEM;
        r = make_folder(d->folder, reterr);
        if (r >= 0)
                r = session_files_write(
                                d->folder, d->name, s, "give another folder, or move these away", reterr);
        if (r < 0)
                return r;
        secret_buf_done(&d->keys);
        d->keys = TAKE_STRUCT(keys, (SecretBuf) {});
        memcpy(d->blob, s->blob, sizeof(d->blob));
        d->policy = policy;
        d->has_policy = true;
        *ret = TAKE_STRUCT(answer, (AttestorSession) {});
        return 0;
}

static int desk_launch(void *backend, const AttestorLaunch *in, AttestorSession *ret, AttestorOutcome *o,
                char **reterr) {
        _cleanup_free_ SevCert *pdh = calloc(1, sizeof(SevCert));
        Desk *d = backend;
        int r;

        if (!pdh)
                return -ENOMEM;
        r = check_launch(d, in, o);
        if (r <= 0)
                return r;
        *o = (AttestorOutcome) {};
        r = d->check(d->userdata, in, pdh, o, reterr);
        if (r < 0 || o->reason)
                return r;
        r = make_session(d, pdh, in->has_policy ? in->policy : default_policy(in->scheme), ret, reterr);
        if (r < 0)
                return r;
        o->verdict = VERDICT_AUTHENTIC;
        return 0;
}

/* The keys of a session that was made earlier. */
static int load_keys(Desk *d, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf keys = {};
        int r;

        if (d->keys.size > 0)
                return 0;
        r = secret_buf_alloc(&keys, sizeof(SevKeys));
        if (r >= 0)
                r = session_files_read(d->folder, d->name, (SevKeys *) keys.data, d->blob, reterr);
        if (r < 0)
                return r;
        d->keys = TAKE_STRUCT(keys, (SecretBuf) {});
        return 0;
}

/* The policy that counts is the one under the session's MAC. 1: it is this one. */
static int check_policy(Desk *d, const AttestorClaim *in, AttestorOutcome *o) {
        SessionMatch match = SESSION_UNCHECKED;
        uint32_t policy = d->has_policy ? d->policy : in->policy, other = 0;
        int r;

        if (!d->has_policy && !in->has_policy)
                return attestor_refuse(
                                o, VERDICT_UNVERIFIED, "malformed", "the policy of the launch is not known");
        if (in->has_policy && in->policy != policy)
                return attestor_refuse(o, VERDICT_POLICY_NOT_MET, "policy-mismatch",
                                "the guest has the policy 0x%x, the session is for 0x%x", in->policy,
                                policy);
        r = sev_session_match(d->blob, (const SevKeys *) d->keys.data, policy, &match, &other);
        if (r < 0)
                return r;
        if (match == SESSION_OTHER_POLICY)
                return attestor_refuse(o, VERDICT_POLICY_NOT_MET, "policy-mismatch",
                                "the guest has the policy 0x%x, the session is for 0x%x", policy, other);
        if (match != SESSION_MATCHES)
                return attestor_refuse(o, VERDICT_NOT_AUTHENTIC, "other-keys",
                                "'%s': the keys '%s' are not those of the session beside them", d->folder,
                                d->name);
        d->policy = policy;
        d->has_policy = true;
        return 1;
}

/* 1: one of the digests is the measured one. Always all are tried. */
static int check_measurement(const Desk *d, const AttestorClaim *in, AttestorOutcome *o, char **reterr) {
        const SevKeys *keys = (const SevKeys *) d->keys.data;
        SevMeasurement m = {
                .api_major = (uint8_t) in->api_major,
                .api_minor = (uint8_t) in->api_minor,
                .build = (uint8_t) in->build_id,
                .policy = d->policy,
                .nonce_size = SEV_NONCE_SIZE,
        };
        bool fits = false;

        if (in->n_expect == 0)
                return error_set(reterr, -EINVAL,
                                "no launch digest is known that the measurement could be compared with");
        memcpy(m.nonce, in->measurement + SEV_MEASURE_SIZE, SEV_NONCE_SIZE);
        FOREACH_ARRAY(digest, in->expect, in->n_expect) {
                Verdict v = VERDICT_UNVERIFIED;
                int r;

                memcpy(m.digest, *digest, sizeof(m.digest));
                r = sev_measurement_verify(keys->tik, &m, in->measurement, &v);
                if (r < 0)
                        return r;
                fits = fits || v == VERDICT_AUTHENTIC;
        }
        if (fits)
                return 1;
        _cleanup_free_ char *first = hex_encode(in->expect[0], SEV_DIGEST_SIZE);
        return attestor_refuse(o, VERDICT_NOT_AUTHENTIC, "measurement-mismatch",
                        "the measurement is not that of the launch digest %s%s under this session: other "
                        "firmware, "
                        "kernel, initrd, command line, number or model of CPUs, or a measurement that was "
                        "changed",
                        first ?: "", in->n_expect > 1 ? " or the others" : "");
}

static int seal(const Desk *d, const AttestorClaim *in, AttestorPacket *ret) {
        _cleanup_(attestor_packet_done) AttestorPacket p = {};
        _cleanup_free_ uint8_t *payload = NULL;
        uint8_t header[SECRET_HEADER_SIZE];
        int r;

        if (d->table.size == 0) {
                *ret = (AttestorPacket) {};
                return 0;
        }
        payload = malloc(d->table.size);
        if (!payload)
                return -ENOMEM;
        r = secret_packet_seal((const SevKeys *) d->keys.data, in->measurement, &d->table, crypto_random,
                        NULL, header, payload);
        if (r < 0)
                return r;
        p.header = base64_encode(header, sizeof(header));
        p.payload = base64_encode(payload, d->table.size);
        if (!p.header || !p.payload)
                return -ENOMEM;
        *ret = TAKE_STRUCT(p, (AttestorPacket) {});
        return 0;
}

static int desk_validate(void *backend, const AttestorClaim *in, AttestorPacket *ret, AttestorOutcome *o,
                char **reterr) {
        Desk *d = backend;
        int r;

        if (in->api_major > UINT8_MAX || in->api_minor > UINT8_MAX || in->build_id > UINT8_MAX)
                return attestor_refuse(o, VERDICT_UNVERIFIED, "malformed",
                                "the versions of the secure processor are numbers of 0 to 255");
        r = load_keys(d, reterr);
        if (r >= 0)
                r = check_policy(d, in, o);
        if (r > 0)
                r = check_measurement(d, in, o, reterr);
        if (r <= 0)
                return r;
        if (d->table.size > 0 && (in->api_major << 8 | in->api_minor) < API_WITH_MEASURE)
                return attestor_refuse(o, VERDICT_POLICY_NOT_MET, "platform-too-old",
                                "the secure processor's firmware (API %u.%u) takes packets of an older kind",
                                in->api_major, in->api_minor);
        r = seal(d, in, ret);
        if (r < 0)
                return r;
        *o = (AttestorOutcome) { .verdict = VERDICT_AUTHENTIC };
        return 0;
}

static int build_table(Desk *d, char *const *secrets, char **reterr) {
        _cleanup_(secret_table_done) SecretTable t = {};
        int r = 0;

        STRV_FOREACH(s, secrets) {
                r = secret_spec_add(&t, *s, reterr);
                if (r < 0)
                        return r;
        }
        if (t.n_items == 0)
                return 0;
        r = secret_table_build(&t, /* pad_always= */ false, &d->table);
        if (r == -E2BIG || (r >= 0 && d->table.size > SECRET_PACKET_SIZE_MAX))
                return error_set(reterr, -E2BIG,
                                "--inject-secret: the secrets take more than the %u bytes that the "
                                "secure processor accepts",
                                SECRET_PACKET_SIZE_MAX);
        return r;
}

int attestor_desk_new(const AttestorDesk *desk, Attestor **ret, char **reterr) {
        static const AttestorOps ops = { desk_launch, desk_validate, desk_free };
        Desk *d = calloc(1, sizeof(Desk));
        int r;

        if (!d)
                return -ENOMEM;
        d->folder = strdup(desk->folder);
        d->name = strdup(desk->name);
        d->check = desk->check;
        d->userdata = desk->userdata;
        r = d->folder && d->name ? build_table(d, desk->secrets, reterr) : -ENOMEM;
        if (r < 0) {
                desk_free(d);
                return r;
        }
        return attestor_new(&ops, d, ret);
}
