/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest owner's side with keys in a folder, made for one launch on one platform, and secrets from files. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "attest-session.h"
#include "bytes.h"
#include "coco.h"
#include "crypto-random.h"
#include "encode.h"
#include "error.h"
#include "owner-backend.h"
#include "secret-spec.h"
#include "session-files.h"
#include "strutil.h"

#define API_WITH_MEASURE                                                                                    \
        0x0011u /* 0.17: from here on the packet's MAC covers the measurement (AMD 55766, LAUNCH_SECRET) */

typedef struct KeyFolder {
        char *folder, *name;
        SecretBuf table; /* built; empty: there are no secrets */
        SecretBuf keys;  /* SevKeys, once they are known */
        uint8_t blob[SEV_SESSION_SIZE];
        uint32_t policy;
        bool has_policy; /* else it is the host's word, checked against the session */
        int (*check)(void *userdata, const OwnerLaunch *in, SevCert *ret_pdh, OwnerOutcome *ret_outcome,
                        char **reterr);
        void *userdata;
} KeyFolder;

static void folder_free(void *backend) {
        KeyFolder *d = backend;

        secret_buf_done(&d->table);
        secret_buf_done(&d->keys);
        free(d->folder);
        free(d->name);
        free(d);
}

static int check_launch(const KeyFolder *d, const OwnerLaunch *in, OwnerOutcome *o) {
        uint64_t area = in->has_secret_area ? in->secret_area : OWNER_SECRET_AREA;

        if (!coco_of(coco_mode_from_scheme(in->scheme))->launch_session)
                return owner_refuse(o, VERDICT_UNVERIFIED, "scheme-mismatch",
                                "keys in a folder are for SEV and SEV-ES, not for the scheme '%s'",
                                in->scheme);
        if (d->table.size > area)
                return owner_refuse(o, VERDICT_POLICY_NOT_MET, "no-room",
                                "the secrets take %zu bytes, but this firmware's secret area is %llu bytes%s",
                                d->table.size, (unsigned long long) area,
                                area == 0 ? ": use a firmware built for SEV guests (AmdSevX64)" : "");
        return 1;
}

static int make_folder(const char *path, char **reterr) {
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_set(reterr, -errno, "cannot make the folder '%s': %s", path, strerror(errno));
        return 0;
}

static int make_session(
                KeyFolder *d, const SevCert *pdh, uint32_t policy, OwnerSession *ret, char **reterr) {
        _cleanup_(owner_session_done) OwnerSession answer = { .policy = policy };
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
                r = session_files_write(d->folder, d->name, s,
                                "use another folder, or move these files away", reterr);
        if (r < 0)
                return r;
        secret_buf_done(&d->keys);
        d->keys = TAKE_STRUCT(keys, (SecretBuf) {});
        memcpy(d->blob, s->blob, sizeof(d->blob));
        d->policy = policy;
        d->has_policy = true;
        *ret = TAKE_STRUCT(answer, (OwnerSession) {});
        return 0;
}

static int folder_launch(
                void *backend, const OwnerLaunch *in, OwnerSession *ret, OwnerOutcome *o, char **reterr) {
        _cleanup_free_ SevCert *pdh = calloc(1, sizeof(SevCert));
        KeyFolder *d = backend;
        uint32_t policy;
        int r;

        if (!pdh)
                return -ENOMEM;
        r = check_launch(d, in, o);
        if (r <= 0)
                return r;
        *o = (OwnerOutcome) {};
        r = d->check(d->userdata, in, pdh, o, reterr);
        if (r < 0 || o->reason)
                return r;
        policy = in->has_policy ? in->policy
                                : (uint32_t) coco_of(coco_mode_from_scheme(in->scheme))->policy.initial;
        r = make_session(d, pdh, policy, ret, reterr);
        if (r < 0)
                return r;
        o->verdict = VERDICT_AUTHENTIC;
        return 0;
}

/* The keys of a session that was made earlier. */
static int load_keys(KeyFolder *d, char **reterr) {
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
static int check_policy(KeyFolder *d, const OwnerClaim *in, OwnerOutcome *o) {
        SessionMatch match = SESSION_UNCHECKED;
        uint32_t policy = d->has_policy ? d->policy : in->policy, other = 0;
        int r;

        if (!d->has_policy && !in->has_policy)
                return owner_refuse(
                                o, VERDICT_UNVERIFIED, "malformed", "the policy of the launch is unknown");
        if (in->has_policy && in->policy != policy)
                return owner_refuse(o, VERDICT_POLICY_NOT_MET, "policy-mismatch",
                                "the guest's policy is 0x%x, but the session was made for 0x%x", in->policy,
                                policy);
        r = sev_session_match(d->blob, (const SevKeys *) d->keys.data, policy, &match, &other);
        if (r < 0)
                return r;
        if (match == SESSION_OTHER_POLICY)
                return owner_refuse(o, VERDICT_POLICY_NOT_MET, "policy-mismatch",
                                "the guest's policy is 0x%x, but the session was made for 0x%x", policy,
                                other);
        if (match != SESSION_MATCHES)
                return owner_refuse(o, VERDICT_NOT_AUTHENTIC, "other-keys",
                                "'%s': the keys '%s' are not those of the session beside them", d->folder,
                                d->name);
        d->policy = policy;
        d->has_policy = true;
        return 1;
}

/* 1: one of the digests is the measured one. Always all are tried. */
static int check_measurement(const KeyFolder *d, const OwnerClaim *in, OwnerOutcome *o, char **reterr) {
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
                                "no launch digest to compare the measurement with; use --expect=DIGEST");
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
        return owner_refuse(o, VERDICT_NOT_AUTHENTIC, "measurement-mismatch",
                        "the measurement does not match the launch digest %s%s with this session: "
                        "firmware, kernel, initrd, command line, number or model of CPUs differ, or the measurement was changed",
                        first ?: "", in->n_expect > 1 ? " or the others" : "");
}

static int seal(const KeyFolder *d, const OwnerClaim *in, OwnerPacket *ret) {
        _cleanup_(owner_packet_done) OwnerPacket p = {};
        _cleanup_free_ uint8_t *payload = NULL;
        uint8_t header[SECRET_HEADER_SIZE];
        int r;

        if (d->table.size == 0) {
                *ret = (OwnerPacket) {};
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
        *ret = TAKE_STRUCT(p, (OwnerPacket) {});
        return 0;
}

static int folder_validate(
                void *backend, const OwnerClaim *in, OwnerPacket *ret, OwnerOutcome *o, char **reterr) {
        KeyFolder *d = backend;
        int r;

        if (in->api_major > UINT8_MAX || in->api_minor > UINT8_MAX || in->build_id > UINT8_MAX)
                return owner_refuse(o, VERDICT_UNVERIFIED, "malformed",
                                "the versions of the secure processor must be numbers from 0 to 255");
        r = load_keys(d, reterr);
        if (r >= 0)
                r = check_policy(d, in, o);
        if (r > 0)
                r = check_measurement(d, in, o, reterr);
        if (r <= 0)
                return r;
        if (d->table.size > 0 && (in->api_major << 8 | in->api_minor) < API_WITH_MEASURE)
                return owner_refuse(o, VERDICT_POLICY_NOT_MET, "platform-too-old",
                                "the secure processor's firmware (API %u.%u) uses an older format of packets, which is not supported",
                                in->api_major, in->api_minor);
        r = seal(d, in, ret);
        if (r < 0)
                return r;
        *o = (OwnerOutcome) { .verdict = VERDICT_AUTHENTIC };
        return 0;
}

static int build_table(KeyFolder *d, char *const *secrets, char **reterr) {
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
                                "--inject-secret: the secrets take more than the %u bytes that the secure processor accepts",
                                SECRET_PACKET_SIZE_MAX);
        return r;
}

int owner_keys_new(const OwnerKeys *keys, Owner **ret, char **reterr) {
        static const OwnerOps ops = { folder_launch, folder_validate, folder_free };
        KeyFolder *d = calloc(1, sizeof(KeyFolder));
        int r;

        if (!d)
                return -ENOMEM;
        d->folder = strdup(keys->folder);
        d->name = strdup(keys->name);
        d->check = keys->check;
        d->userdata = keys->userdata;
        r = d->folder && d->name ? build_table(d, keys->secrets, reterr) : -ENOMEM;
        if (r < 0) {
                folder_free(d);
                return r;
        }
        return owner_new(&ops, d, ret);
}
