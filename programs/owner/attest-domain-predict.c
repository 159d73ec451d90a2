/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which launch digests the owner would accept: those that --expect= names, or what `measure --from-libvirt` computes. Where the owner's
 * options say nothing, the domain's configuration does; the measurement detects a host that lies there. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attest-domain.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "measure-child.h"
#include "strutil.h"

/* KVM_SEV_ES_INIT and KVM_SEV_INIT2 set the vCPUs' floating point up differently; libvirt leaves the choice to QEMU and the kernel. */
static const char *const es_profiles[] = { "qemu-pre-6.10", "qemu" };

static int read_digest(const char *text, uint8_t ret[static SEV_DIGEST_SIZE], char **reterr) {
        if (hex_decode_exact(text, ret, SEV_DIGEST_SIZE) < 0)
                return error_set(reterr, -EINVAL,
                                "expected a launch digest of %u hexadecimal digits, not '%s'",
                                2 * SEV_DIGEST_SIZE, text);
        return 0;
}

static int arguments(const DomainArgs *a, const char *profile, char ***ret) {
        const struct {
                const char *option, *value;
        } given[] = {
                { "ovmf", a->firmware },
                { "kernel", a->kernel },
                { "initrd", a->initrd },
                { "append", a->cmdline },
                { "vcpus", a->vcpus },
                { "vcpu-type", a->cpu },
                { "vmsa", profile },
        };
        _cleanup_strv_free_ char **l = NULL;
        int r;

        r = strv_push(&l, "--from-libvirt=/dev/stdin");
        FOREACH_ARRAY(g, given, ELEMENTSOF(given))
                if (r >= 0 && g->value)
                        r = strv_pushf(&l, "--%s=%s", g->option, g->value);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

static int measure(const DomainArgs *a, int xml_fd, const char *profile, uint8_t ret[static SEV_DIGEST_SIZE],
                char **reterr) {
        _cleanup_strv_free_ char **l = NULL;
        _cleanup_free_ char *text = NULL;
        int r, status;

        r = arguments(a, profile, &l);
        if (r >= 0)
                r = measure_child_with(l, xml_fd, &text, &status, reterr);
        if (r < 0)
                return r;
        if (status != 0)
                return error_set(reterr, -EINVAL,
                                "the launch digest of this domain cannot be computed; pass it with --expect=DIGEST");
        return read_digest(text, ret, reterr);
}

int domain_predict(const DomainArgs *a, const Domain *d, const char *xml, uint8_t (**ret)[SEV_DIGEST_SIZE],
                size_t *ret_n, char **reterr) {
        size_t n = a->expect                      ? strv_length(a->expect)
                        : d->coco->vcpus_measured ? ELEMENTSOF(es_profiles)
                                                  : 1;
        _cleanup_free_ uint8_t(*digests)[SEV_DIGEST_SIZE] = calloc(n, sizeof(*digests));
        _cleanup_close_ int fd = -EBADF;
        int r = 0;

        if (!digests)
                return -ENOMEM;
        if (n > OWNER_EXPECT_MAX)
                return error_set(reterr, -EINVAL, "--expect: more than %u digests", OWNER_EXPECT_MAX);
        if (!a->expect) {
                fd = memfd_new_sealed("domain", xml, strlen(xml));
                r = fd < 0 ? fd : 0;
        }
        for (size_t i = 0; i < n && r >= 0; i++)
                r = a->expect ? read_digest(a->expect[i], digests[i], reterr)
                              : measure(a, fd, d->coco->vcpus_measured ? es_profiles[i] : NULL, digests[i],
                                                reterr);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(digests);
        *ret_n = n;
        return 0;
}
