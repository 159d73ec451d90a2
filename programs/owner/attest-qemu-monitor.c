/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "attest-qemu.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "qmp-commands.h"
#include "qmp-sev.h"
#include "strutil.h"

#define ANSWER_USEC   (60 * UINT64_C(1000000))
#define GREETING_USEC (10 * UINT64_C(1000000))
#define LAUNCH_ID_MAX 128u

int qemu_connect(const char *path, Loop *loop, QmpClient **ret, char **reterr) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_qmp_client_ QmpClient *c = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (strlen(path) >= sizeof(address.sun_path))
                return error_set(reterr, -ENAMETOOLONG, "--qmp: '%s' is too long for the path of a socket",
                                path);
        (void) strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return error_set(reterr, -errno, "--qmp: cannot connect to '%s': %s", path, strerror(errno));
        if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
                return -errno;
        r = qmp_client_new(loop, fd, &c);
        if (r < 0)
                return r;
        fd = -EBADF;
        /* A monitor speaks to one client at a time: others are accepted, and hear nothing. */
        r = qmp_client_set_greeting_timeout(c, GREETING_USEC);
        if (r >= 0)
                *ret = TAKE_PTR(c);
        return r;
}

char *qemu_launch_id_path(const QemuArgs *a) {
        char *path;

        return asprintf(&path, "%s/%s_launch-id", a->session_dir, a->owner.name ?: "vm") < 0 ? NULL : path;
}

static int find_launch_id(const QemuArgs *a, QemuResult *ret, char **reterr) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r;

        if (!a->launch_id && !a->session_dir)
                return 0;
        if (!a->launch_id) {
                path = qemu_launch_id_path(a);
                if (!path)
                        return -ENOMEM;
                r = file_read_all(path, LAUNCH_ID_MAX, &text, NULL);
                if (r < 0)
                        return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
                text[strcspn(text, "\n")] = 0;
        }
        ret->launch_id = strdup(a->launch_id ?: text);
        return ret->launch_id ? 0 : -ENOMEM;
}

static int ask_guest(QmpClient *c, OwnerClaim *ret, char **reterr) {
        QmpSevMeasurement m;
        QmpStatus status;
        QmpSev sev;
        int r;

        r = qmp_query_status_wait(c, ANSWER_USEC, &status, reterr);
        if (r < 0)
                return r;
        if (status.running || status.state != QMP_STATE_PRELAUNCH)
                return error_set(reterr, -ESTALE,
                                "this guest has already run, so its state is unknown; start QEMU with -S");
        r = qmp_query_sev_wait(c, ANSWER_USEC, &sev, reterr);
        if (r < 0)
                return r;
        if (!sev.enabled || sev.snp)
                return error_set(reterr, -EOPNOTSUPP, "this is not an SEV or SEV-ES guest%s",
                                sev.snp ? ": an SEV-SNP guest asks for its report itself" : "");
        if (sev.state != QMP_SEV_LAUNCH_SECRET)
                return error_set(reterr, -ESTALE, "the guest is in the state '%s', not waiting for secrets",
                                qmp_sev_state_to_string(sev.state));
        r = qmp_query_sev_launch_measure_wait(c, ANSWER_USEC, &m, reterr);
        if (r < 0)
                return r;
        *ret = (OwnerClaim) {
                .api_major = sev.api_major,
                .api_minor = sev.api_minor,
                .build_id = sev.build_id,
                .has_policy = true,
                .policy = (uint32_t) sev.policy,
        };
        memcpy(ret->measurement, m.measurement, sizeof(m.measurement));
        memcpy(ret->measurement + sizeof(m.measurement), m.mnonce, sizeof(m.mnonce));
        return 0;
}

static int read_digests(const QemuArgs *a, uint8_t (**ret)[SEV_DIGEST_SIZE], size_t *ret_n, char **reterr) {
        size_t n = strv_length(a->expect);
        _cleanup_free_ uint8_t(*list)[SEV_DIGEST_SIZE] = calloc(n + 1, SEV_DIGEST_SIZE);

        if (!list)
                return -ENOMEM;
        if (n > OWNER_EXPECT_MAX)
                return error_set(reterr, -E2BIG, "--expect: more than %u digests", OWNER_EXPECT_MAX);
        for (size_t i = 0; i < n; i++) {
                int r = bytes_from_text(a->expect[i], list[i], SEV_DIGEST_SIZE, reterr);

                if (r < 0)
                        return error_prefix(reterr, r, "--expect='%s'", a->expect[i]);
        }
        *ret = TAKE_PTR(list);
        *ret_n = n;
        return 0;
}

static int decode(const char *text, SecretBuf *ret) {
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t size;
        int r = base64_decode(text, strlen(text), &bytes, &size);

        return r < 0 ? r : secret_buf_copy(ret, bytes, size);
}

static int deliver(QmpClient *c, const OwnerPacket *p, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf header = {}, payload = {};
        int r = 0;

        if (p->header) {
                r = decode(p->header, &header);
                if (r >= 0)
                        r = decode(p->payload, &payload);
                if (r >= 0)
                        r = qmp_sev_inject_launch_secret_wait(c, &header, &payload,
                                        p->has_gpa ? &p->gpa : NULL, ANSWER_USEC, reterr);
        }
        return r < 0 ? r : qmp_call_wait(c, "cont", NULL, ANSWER_USEC, NULL, reterr);
}

/* It never ran, and never will. */
static void end(const QemuArgs *a, QmpClient *c, QemuResult *ret) {
        if (streq_ptr(a->on_refusal, "keep"))
                return;
        ret->ended = qmp_call_wait(c, "quit", NULL, ANSWER_USEC, NULL, NULL) >= 0;
}

int qemu_attest(const QemuArgs *a, Owner *owner, QemuResult *ret, char **reterr) {
        _cleanup_free_ uint8_t(*digests)[SEV_DIGEST_SIZE] = NULL;
        _cleanup_(owner_packet_done) OwnerPacket packet = {};
        _cleanup_(loop_unrefp) Loop *loop = NULL;
        _cleanup_qmp_client_ QmpClient *c = NULL;
        OwnerClaim claim = {};
        size_t n = 0;
        int r;

        r = loop_new(&loop);
        if (r >= 0)
                r = read_digests(a, &digests, &n, reterr);
        if (r >= 0)
                r = find_launch_id(a, ret, reterr);
        if (r >= 0)
                r = qemu_connect(a->qmp, loop, &c, reterr);
        if (r >= 0)
                r = ask_guest(c, &claim, reterr);
        if (r < 0)
                return r;
        claim.expect = digests;
        claim.n_expect = n;
        claim.launch_id = ret->launch_id;
        ret->policy = claim.policy;
        r = owner_validate(owner, &claim, &packet, &ret->outcome, reterr);
        if (r < 0)
                return r;
        switch (ret->outcome.verdict) {
        case VERDICT_AUTHENTIC:
                ret->secrets = packet.header;
                r = deliver(c, &packet, reterr);
                ret->running = r >= 0;
                return r;
        case VERDICT_NOT_AUTHENTIC:
        case VERDICT_POLICY_NOT_MET:
                end(a, c, ret);
                return 0;
        default:
                return 0;
        }
}
