/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a launcher may write to the owner program: any bytes, answered or refused line by line, never more than one answer a line. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "owner-backend.h"
#include "owner-protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int launch(_unused_ void *backend, const OwnerLaunch *in, OwnerSession *ret, OwnerOutcome *o,
                _unused_ char **reterr) {
        if (strlen(in->pdh) > strlen(in->cert_chain))
                return owner_refuse(o, VERDICT_NOT_AUTHENTIC, "platform-not-authentic", "%s", in->scheme);
        *ret = (OwnerSession) { .session = strdup("AA=="), .dh_cert = strdup("AA=="), .policy = in->policy };
        *o = (OwnerOutcome) { .verdict = VERDICT_AUTHENTIC };
        return ret->session && ret->dh_cert ? 0 : -ENOMEM;
}

static int validate(_unused_ void *backend, const OwnerClaim *in, OwnerPacket *ret, OwnerOutcome *o,
                _unused_ char **reterr) {
        if (in->n_expect == 0 || in->measurement[0] != in->expect[0][0])
                return owner_refuse(o, VERDICT_NOT_AUTHENTIC, "measurement-mismatch", "no");
        *ret = (OwnerPacket) { .has_gpa = in->has_policy, .gpa = in->policy };
        *o = (OwnerOutcome) { .verdict = VERDICT_AUTHENTIC };
        return 0;
}

static void nothing(_unused_ void *backend) {
}

static size_t count(const char *text, size_t size) {
        size_t n = 0;

        for (size_t i = 0; i < size; i++)
                n += text[i] == '\n';
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const OwnerOps ops = { launch, validate, nothing };
        _cleanup_close_ int in = memfd_new_sealed("in", data, size), out = memfd_new("out");
        _cleanup_owner_ Owner *a = NULL;
        _cleanup_free_ char *answers = NULL, *error = NULL;
        size_t n = 0;

        if (in < 0 || out < 0 || lseek(in, 0, SEEK_SET) != 0 || owner_new(&ops, NULL, &a) < 0)
                return 0;
        if (owner_serve(a, in, out, &error) < 0)
                return 0;
        if (lseek(out, 0, SEEK_SET) != 0 || fd_read_all(out, 1u << 26, &answers, &n) < 0)
                abort();
        if (count(answers, n) != count((const char *) data, size))
                abort();
        return 0;
}
