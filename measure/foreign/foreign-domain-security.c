/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* <launchSecurity>: the object that makes the guest confidential, as libvirt writes it. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "foreign-domain-writer.h"
#include "strutil.h"

typedef struct SecurityText {
        const char *path, *property;
} SecurityText;

static int security_texts(DomainWriter *w, const SecurityText *texts, size_t n, Pairs *p) {
        int r = 0;

        FOREACH_ARRAY(t, texts, n) {
                _cleanup_free_ char *text = NULL;

                if (r >= 0)
                        r = domain_word_at(w, t->path, &text);
                if (r >= 0 && text)
                        r = pairs_set(p, t->property, text);
        }
        return r;
}

static int security_object(DomainWriter *w, Pairs *p) {
        static const SecurityText texts[] = {
                { "/launchSecurity/policy", "policy" },
                { "/launchSecurity/cbitpos", "cbitpos" },
                { "/launchSecurity/reducedPhysBits", "reduced-phys-bits" },
                { "/launchSecurity/hostData", "host-data" },
                { "/launchSecurity/idBlock", "id-block" },
                { "/launchSecurity/idAuth", "id-auth" },
                { "/launchSecurity/guestVisibleWorkarounds", "guest-visible-workarounds" },
        };
        /* libvirt asks the host where the domain is silent. */
        int r = pairs_set(p, "cbitpos", "51");

        if (r >= 0)
                r = pairs_set(p, "reduced-phys-bits", "1");
        return r < 0 ? r : security_texts(w, texts, ELEMENTSOF(texts), p);
}

/* libvirt reads the number as hexadecimal, with 0x or without (tried with 11.3 and 12.8). */
static int read_hex(DomainWriter *w, Pairs *p, const char *property, uint64_t *ret) {
        const char *policy = pairs_get(p, property);
        char text[32];
        int r = 0;

        (void) snprintf(text, sizeof(text), "0x%.24s", startswith(policy, "0x") ?: policy);
        if (parse_u64(text, ret) < 0)
                return error_set(w->reterr, -EINVAL, "<policy> '%s' is not a hexadecimal number", policy);
        if (*ret > 9 && !startswith(policy, "0x"))
                r = strv_pushf(&w->d->notices,
                                "<policy> '%s' has no 0x in front, and libvirt reads it as the hexadecimal number 0x%s",
                                policy, policy);
        return r < 0 ? r : pairs_set(p, property, text);
}

/* Of a TD nothing is required, and the object's values are not measured. */
static int write_tdx(DomainWriter *w) {
        static const SecurityText texts[] = {
                { "/launchSecurity/policy", "attributes" },
                { "/launchSecurity/mrConfigId", "mrconfigid" },
                { "/launchSecurity/mrOwner", "mrowner" },
                { "/launchSecurity/mrOwnerConfig", "mrownerconfig" },
        };
        _cleanup_(pairs_done) Pairs p = {};
        uint64_t bits = 0;
        int r = security_texts(w, texts, ELEMENTSOF(texts), &p);

        w->d->mode = COCO_TDX;
        if (r >= 0 && pairs_get(&p, "attributes"))
                r = read_hex(w, &p, "attributes", &bits);
        if (r >= 0 && pairs_get(&p, "attributes") && (bits & ~COCO_TDX_LIBVIRT_BITS))
                r = error_set(w->reterr, -EINVAL,
                                "libvirt refuses this launch: <policy> has bits besides 0 (debug) and 28 (sept-ve-disable)");
        if (r >= 0 && w->d->cpu && !streq(w->d->cpu, "host-passthrough") && !streq(w->d->cpu, "maximum"))
                r = error_set(w->reterr, -EINVAL,
                                "QEMU refuses this launch: <cpu> is %s, and a TD needs mode='host-passthrough'",
                                w->d->cpu);
        if (r >= 0)
                r = pairs_set(&w->machine, "confidential-guest-support", "lsec0");
        return r < 0 ? r : domain_push_pairs(w, "-object", "tdx-guest,id=lsec0", &p);
}

int domain_write_security(DomainWriter *w) {
        _cleanup_free_ char *type = NULL, *hashes = NULL, *object = NULL, *first = NULL;
        _cleanup_(pairs_done) Pairs p = {};
        uint64_t bits = 0;
        int r = domain_word_at(w, "/launchSecurity/@type", &type);

        if (r < 0 || !type)
                return r;
        if (streq(type, "tdx"))
                return write_tdx(w);
        if (!streq(type, "sev") && !streq(type, "sev-snp"))
                return error_set(w->reterr, -EINVAL,
                                "<launchSecurity type='%s'> is neither sev, sev-snp nor tdx", type);
        r = domain_word_at(w, "/launchSecurity/@kernelHashes", &hashes);
        if (r >= 0)
                r = security_object(w, &p);
        if (r < 0)
                return r;
        if (!pairs_get(&p, "policy"))
                return error_set(w->reterr, -EINVAL,
                                "libvirt refuses this domain: <launchSecurity type='%s'> has no <policy>",
                                type);
        r = read_hex(w, &p, "policy", &bits);
        if (r < 0)
                return r;
        if (hashes && !streq(hashes, "yes") && !streq(hashes, "no"))
                return error_set(w->reterr, -EINVAL,
                                "libvirt refuses this domain: kernelHashes='%s' is neither yes nor no",
                                hashes);
        if (hashes)
                r = pairs_set(&p, "kernel-hashes", hashes);
        if (r >= 0)
                r = pairs_set(&w->machine, "confidential-guest-support", "lsec0");
        if (r < 0)
                return r;
        if (asprintf(&first, "%s-guest,id=lsec0", type) < 0) {
                first = NULL;
                return -ENOMEM;
        }
        object = strndup(first, strcspn(first, ","));
        if (!object)
                return -ENOMEM;
        w->d->mode = coco_mode_from_object(object, bits);
        return domain_push_pairs(w, "-object", first, &p);
}
