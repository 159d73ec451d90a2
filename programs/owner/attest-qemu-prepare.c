/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "atomic-file.h"
#include "attest-qemu.h"
#include "coco.h"
#include "encode.h"
#include "error.h"
#include "qmp-sev.h"
#include "run-platform.h"
#include "session-files.h"
#include "strutil.h"

#define ANSWER_USEC (60 * UINT64_C(1000000))

/* From the monitor that was named, or from a QEMU without a machine. */
static int ask_platform(const QemuArgs *a, QmpSevCapabilities *ret, char **reterr) {
        _cleanup_(loop_unrefp) Loop *loop = NULL;
        _cleanup_qmp_client_ QmpClient *c = NULL;
        const QemuUser user = {};
        int r = loop_new(&loop);

        if (r < 0)
                return r;
        if (!a->qmp)
                return run_ask_platform(loop, a->qemu ?: "qemu-system-x86_64", &user, ret, reterr);
        r = qemu_connect(a->qmp, loop, &c, reterr);
        return r < 0 ? r : qmp_query_sev_capabilities_wait(c, ANSWER_USEC, ret, reterr);
}

/* A service's session is not secret and new each time: it replaces the old one. */
static int keep_session(const QemuArgs *a, const OwnerSession *s, char **reterr) {
        const char *name = a->owner.name ?: "vm";
        _cleanup_free_ char *godh = session_file_path(a->session_dir, name, SESSION_FILE_GODH),
                            *blob = session_file_path(a->session_dir, name, SESSION_FILE_SESSION),
                            *id = qemu_launch_id_path(a);
        const AtomicFile files[] = {
                { godh, s->dh_cert, strlen(s->dh_cert), 0644 },
                { blob, s->session, strlen(s->session), 0644 },
                { id, s->launch_id, s->launch_id ? strlen(s->launch_id) : 0, 0644 },
        };
        size_t failed;
        int r;

        if (!godh || !blob || !id)
                return -ENOMEM;
        if (mkdir(a->session_dir, 0777) < 0 && errno != EEXIST)
                return error_set(reterr, -errno, "cannot make '%s': %s", a->session_dir, strerror(errno));
        r = files_write_atomic(files, s->launch_id ? 3 : 2, ATOMIC_FILE_REPLACE, &failed);
        return r < 0 ? error_set(reterr, r, "cannot write '%s': %s", files[failed].path, strerror(-r)) : 0;
}

int qemu_prepare(const QemuArgs *a, Owner *owner, QemuResult *ret, char **reterr) {
        _cleanup_(owner_session_done) OwnerSession session = {};
        _cleanup_free_ QmpSevCapabilities *platform = calloc(1, sizeof(QmpSevCapabilities));
        _cleanup_free_ char *pdh = NULL, *chain = NULL, *id = NULL;
        const Coco *coco = coco_of(a->coco ? coco_mode_from_string(a->coco) : COCO_SEV_ES);
        int r;

        if (!platform)
                return -ENOMEM;
        r = ask_platform(a, platform, reterr);
        if (r < 0)
                return r;
        pdh = base64_encode(platform->pdh, sizeof(platform->pdh));
        chain = base64_encode(platform->cert_chain, sizeof(platform->cert_chain));
        id = base64_encode(platform->cpu0_id, sizeof(platform->cpu0_id));
        if (!pdh || !chain || !id)
                return -ENOMEM;
        r = owner_launch(owner,
                        &(const OwnerLaunch) {
                                        .scheme = coco->scheme,
                                        .has_policy = a->policy_set || a->owner.owner_dir,
                                        .policy = (uint32_t) (a->policy_set ? a->policy
                                                                            : coco->policy.initial),
                                        .pdh = pdh,
                                        .cert_chain = chain,
                                        .cpu_id = id,
                        },
                        &session, &ret->outcome, reterr);
        if (r < 0 || ret->outcome.verdict != VERDICT_AUTHENTIC)
                return r;
        ret->policy = session.policy;
        r = a->owner.owner_dir ? 0 : keep_session(a, &session, reterr);
        ret->launch_id = TAKE_PTR(session.launch_id);
        return r;
}
