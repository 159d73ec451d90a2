/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The domain's side of attest-domain. What libvirt says is the host's word, and is believed only where the measurement covers it. */

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "attest-domain.h"
#include "encode.h"
#include "error.h"
#include "guest-policy.h"
#include "libvirt-xml.h"
#include "strutil.h"

void domain_done(Domain *d) {
        libvirt_domain_info_done(&d->info);
        libvirt_domain_free(d->domain);
        libvirt_close(d->connection);
        free(d->session);
        *d = (Domain) {};
}

static int is_local(LibvirtConnection *c, bool *ret, char **reterr) {
        _cleanup_free_ char *own = NULL, *resolved = NULL, *there = NULL;
        int r;

        r = libvirt_hostname(c, &there, reterr);
        if (r >= 0)
                r = libvirt_own_name(&own);
        if (r >= 0)
                r = libvirt_resolved_name(&resolved);
        if (r >= 0)
                *ret = streq(own, there) || streq(resolved, there);
        return r;
}

/* By name, as people call it; else by UUID or number, as virsh does. */
static int lookup(Domain *d, const char *what, char **reterr) {
        int r = libvirt_lookup(d->connection, LIBVIRT_BY_NAME, what, &d->domain, reterr);

        if (r == -EREMOTEIO && strlen(what) >= 32)
                r = libvirt_lookup(d->connection, LIBVIRT_BY_UUID, what, &d->domain, NULL);
        if (r == -EREMOTEIO && *what && strspn(what, "0123456789") == strlen(what))
                r = libvirt_lookup(d->connection, LIBVIRT_BY_ID, what, &d->domain, NULL);
        return r;
}

int domain_open(const DomainArgs *a, const char *what, Domain *ret, char **reterr) {
        _cleanup_(domain_done) Domain d = {};
        int r;

        r = libvirt_open(a->connect ?: "qemu:///system", &d.connection, reterr);
        if (r >= 0)
                r = is_local(d.connection, &d.local, reterr);
        if (r >= 0)
                r = lookup(&d, what, reterr);
        if (r >= 0)
                r = libvirt_domain_info(d.domain, &d.info, reterr);
        if (r < 0)
                return r;
        if (d.info.active && d.info.state != LIBVIRT_STATE_PAUSED)
                return error_set(reterr, -ESTALE,
                                "'%s' is already running, so its state is unknown; stop it, and this program will start it",
                                d.info.name);
        *ret = TAKE_STRUCT(d, (Domain) {});
        return 0;
}

static bool has(LibvirtXml *x, const char *path) {
        size_t n = 0;

        return libvirt_xml_count(x, path, &n) >= 0 && n > 0;
}

/* What the launch measurement would not cover, so that a host could change it unseen. */
static int check_measured(const DomainArgs *a, LibvirtXml *x, char **reterr) {
        bool hashes = has(x, "/domain/launchSecurity[@kernelHashes='yes']");

        if (has(x, "/domain/os/nvram"))
                return error_set(reterr, -EPERM,
                                "the domain has <nvram>: firmware variables are not measured; use a stateless firmware");
        if (!hashes && (a->kernel || has(x, "/domain/os/kernel")))
                return error_set(reterr, -EPERM,
                                "the domain boots a kernel that is not measured: <launchSecurity kernelHashes='yes'> is missing");
        return 0;
}

static int check_policy(const DomainArgs *a, uint64_t policy, char **reterr) {
        uint64_t wanted;

        if (policy > SEV_POLICY_MAX)
                return error_set(reterr, -EPERM, "<policy> has more than 32 bits");
        if (a->policy && parse_u64(a->policy, &wanted) < 0)
                return error_set(reterr, -EINVAL, "--policy: expected a number, not '%s'", a->policy);
        if (a->policy && policy != wanted)
                return error_set(reterr, -EPERM, "the domain's <policy> is 0x%x, not %s", (unsigned) policy,
                                a->policy);
        if (!(policy & SEV_POLICY_NODBG) && !a->allow_debug)
                return error_set(reterr, -EPERM,
                                "<policy> 0x%x lets the host debug the guest and read its memory (--allow-debug accepts it)",
                                (unsigned) policy);
        return 0;
}

static int read_xml(const DomainArgs *a, Domain *d, LibvirtXml *x, char **reterr) {
        _cleanup_free_ char *text = NULL;
        uint64_t policy;
        int r;

        if (has(x, "/domain/launchSecurity[@type='sev-snp']"))
                return error_set(reterr, -EPERM,
                                "this is an SEV-SNP domain: the guest requests its report itself; see cvmspawn-report(1)");
        if (!has(x, "/domain/launchSecurity[@type='sev']"))
                return error_set(reterr, -EPERM, "the domain has no <launchSecurity type='sev'>");
        r = libvirt_xml_text(x, "/domain/launchSecurity/policy", &text);
        if (r < 0)
                return r;
        if (!text || parse_u64(text, &policy) < 0)
                return error_set(reterr, -EPERM, "<launchSecurity> has no numeric <policy>");
        r = check_policy(a, policy, reterr);
        if (r >= 0)
                r = check_measured(a, x, reterr);
        if (r < 0)
                return r;
        d->policy = (uint32_t) policy;
        d->coco = coco_of(coco_mode_from_object("sev-guest", policy));
        free(TAKE_PTR(d->session));
        return libvirt_xml_text(x, "/domain/launchSecurity/session", &d->session);
}

int domain_configuration(const DomainArgs *a, Domain *d, char **ret_xml, char **reterr) {
        _cleanup_libvirt_xml_ LibvirtXml *x = NULL;
        _cleanup_free_ char *xml = NULL;
        int r;

        r = d->info.active ? libvirt_domain_xml(d->domain, &xml, reterr)
                           : libvirt_domain_xml_to_start(d->domain, &xml, reterr);
        if (r >= 0)
                r = libvirt_xml_parse(xml, &x, reterr);
        if (r >= 0)
                r = read_xml(a, d, x, reterr);
        if (r < 0)
                return r;
        if (d->info.active && !d->session)
                return error_set(reterr, -EPERM,
                                "'%s' was started without a session of its owner, so its measurement proves nothing; stop it, and this program will start it",
                                d->info.name);
        *ret_xml = TAKE_PTR(xml);
        return 0;
}

int domain_start(Domain *d, const char *xml, const OwnerSession *session, char **reterr) {
        _cleanup_free_ char *once = NULL;
        LibvirtDomain *started = NULL;
        int r;

        if (session->policy != d->policy)
                return error_set(reterr, -EPERM,
                                "the owner requires policy 0x%x, but the domain's <policy> is 0x%x: change the domain",
                                session->policy, d->policy);
        r = libvirt_xml_set_session(xml, session->dh_cert, session->session, &once, reterr);
        if (r >= 0)
                r = libvirt_start_paused(d->connection, once, &started, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "cannot start '%s'", d->info.name);
        libvirt_domain_free(d->domain);
        d->domain = started;
        d->started = true;
        libvirt_domain_info_done(&d->info);
        return libvirt_domain_info(d->domain, &d->info, reterr);
}

static int take_measurement(const char *text, OwnerClaim *claim, char **reterr) {
        _cleanup_free_ uint8_t *data = NULL;
        size_t size;

        if (base64_decode(text, strlen(text), &data, &size) < 0 || size != OWNER_MEASUREMENT_SIZE)
                return error_set(reterr, -EREMOTEIO, "libvirt's sev-measurement is not %u bytes of base64",
                                OWNER_MEASUREMENT_SIZE);
        memcpy(claim->measurement, data, size);
        return 0;
}

int domain_claim(Domain *d, OwnerClaim *ret, char **reterr) {
        _cleanup_(libvirt_launch_done) LibvirtLaunch l = {};
        OwnerClaim claim = {};
        int r;

        r = libvirt_domain_launch(d->domain, &l, reterr);
        if (r < 0)
                return r;
        if (!l.measurement || !l.has_api_major || !l.has_api_minor || !l.has_build_id || !l.has_policy)
                return error_set(reterr, -EREMOTEIO,
                                "libvirt does not report the %s of this launch; use libvirt 8.0 or later",
                                l.measurement ? "firmware version or policy" : "measurement");
        r = take_measurement(l.measurement, &claim, reterr);
        if (r < 0)
                return r;
        claim.api_major = l.api_major;
        claim.api_minor = l.api_minor;
        claim.build_id = l.build_id;
        claim.has_policy = true;
        claim.policy = l.policy;
        *ret = claim;
        return 0;
}
