/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --domain: what a running libvirt domain knows. Nothing of it is trusted for its own sake: the measurement is keyed with the TIK, the
 * policy is bound to the session, the versions are inside the measurement. Everything else must come from the command
 * line, unless --insecure allows it. */

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "libvirt-client.h"
#include "libvirt-xml.h"
#include "strutil.h"
#include "validate.h"

#define LIBVIRT_USEC (UINT64_C(300) * 1000000) /* for one call */

struct ValidateDomain {
        LibvirtConnection *connection; /* owned */
        LibvirtDomain *domain;         /* owned */
        LibvirtDomainInfo info;
        LibvirtXml *xml;     /* owned; the domain's */
        bool remote, secure; /* secure: refuse what would have to be trusted */
};

ValidateDomain *validate_domain_free(ValidateDomain *d) {
        if (!d)
                return NULL;
        libvirt_xml_free(d->xml);
        libvirt_domain_info_done(&d->info);
        libvirt_domain_free(d->domain);
        libvirt_close(d->connection);
        free(d);
        return NULL;
}

/* r and a sentence of libvirt's: status 6, as everything that libvirt refuses. A library that is missing is unsupported usage. */
static int fail_libvirt(Validate *v, int r, const char *sentence) {
        return validate_fail(v, r == -EOPNOTSUPP ? VALIDATE_UNSUPPORTED : VALIDATE_ERROR, "%s",
                        sentence ?: "out of memory");
}

static int connect(Validate *v, ValidateDomain *d) {
        _cleanup_free_ char *error = NULL, *own = NULL, *resolved = NULL, *there = NULL;
        int r;

        libvirt_set_limit(LIBVIRT_USEC, VALIDATE_ERROR);
        r = libvirt_open(v->args.connect, &d->connection, &error);
        if (r >= 0)
                r = libvirt_hostname(d->connection, &there, &error);
        if (r >= 0)
                r = libvirt_own_name(&own);
        if (r >= 0)
                r = libvirt_resolved_name(&resolved);
        if (r < 0)
                return fail_libvirt(v, r, error);
        /* The original asks the resolver only, which may call this very machine "localhost". */
        d->remote = !streq(resolved, there) && (v->args.strict || !streq(own, there));
        d->secure = !v->args.insecure;
        if (!d->remote && d->secure)
                return validate_fail(v, VALIDATE_INSECURE,
                                "running locally on the hypervisor host is not secure");
        return 0;
}

/* The original takes any text of these characters for a UUID, so that a domain called "cafe" cannot be found. */
static bool is_uuid(const Validate *v, const char *s) {
        size_t digits = 0, n = strlen(s);

        if (v->args.strict)
                return n > 0 && strspn(s, "-abcdef0123456789") == n;
        for (const char *p = s; *p; p++)
                if (*p != '-' && !isxdigit((unsigned char) *p))
                        return false;
                else if (*p != '-')
                        digits++;
        return digits == 32 && (n == 32 || n == 36);
}

static int lookup(Validate *v, ValidateDomain *d) {
        const char *what = v->args.domain;
        bool number = *what && strspn(what, "0123456789") == strlen(what);
        LibvirtLookup how = number ? LIBVIRT_BY_ID : is_uuid(v, what) ? LIBVIRT_BY_UUID : LIBVIRT_BY_NAME;
        _cleanup_free_ char *error = NULL;
        int r;

        r = libvirt_lookup(d->connection, how, what, &d->domain, &error);
        if (r == -EREMOTEIO && how != LIBVIRT_BY_NAME && !v->args.strict) /* a name may look like anything */
                r = libvirt_lookup(d->connection, LIBVIRT_BY_NAME, what, &d->domain, NULL);
        if (r >= 0)
                r = libvirt_domain_info(d->domain, &d->info, &error);
        if (r < 0)
                return fail_libvirt(v, r, error);
        validate_debug(v, "VM: id=%d name=%s uuid=%s", d->info.id, d->info.name, d->info.uuid);
        if (!d->info.active)
                return validate_fail(v, VALIDATE_STATE, "Domain must be running to validate measurement");
        if (d->info.state != LIBVIRT_STATE_PAUSED && d->secure)
                return validate_fail(v, VALIDATE_STATE, "Domain must be paused to validate measurement");
        return 0;
}

static int load_xml(Validate *v, ValidateDomain *d) {
        _cleanup_free_ char *error = NULL, *text = NULL;
        int r;

        r = libvirt_domain_xml(d->domain, &text, &error);
        if (r >= 0)
                r = libvirt_xml_parse(text, &d->xml, &error);
        if (r >= 0)
                r = libvirt_xml_text(d->xml, "/domain/launchSecurity[@type='sev']/session", &v->session);
        return r < 0 ? fail_libvirt(v, r, error) : 0;
}

static size_t count(ValidateDomain *d, const char *path) {
        size_t n = 0;

        return libvirt_xml_count(d->xml, path, &n) < 0 ? 0 : n;
}

static bool has_kernel_hashes(ValidateDomain *d) {
        return count(d, "/domain/launchSecurity[@type='sev']/@kernelHashes") == 1 &&
                        count(d, "/domain/launchSecurity[@type='sev'][@kernelHashes='yes']") == 1;
}

static int check_kernel_config(Validate *v, ValidateDomain *d) {
        size_t n = count(d, "/domain/os/kernel") + count(d, "/domain/os/initrd") +
                        count(d, "/domain/os/cmdline");

        if (has_kernel_hashes(d)) {
                if (n == 0)
                        return validate_fail(v, VALIDATE_CONFIG,
                                        "kernel/initrd/cmdline not provided but kernel measurement is enabled");
                return 0;
        }
        if (v->kernel.present)
                return validate_fail(v, VALIDATE_UNSUPPORTED,
                                "kernel/initrd/cmdline provided but kernel measurement not enabled");
        if (n != 0 && d->secure)
                return validate_fail(v, VALIDATE_INSECURE, "direct kernel boot present without measurement");
        return 0;
}

static int check_config(Validate *v, ValidateDomain *d) {
        if (count(d, "/domain/launchSecurity[@type='sev']") != 1)
                return validate_fail(
                                v, VALIDATE_CONFIG, "Domain is not configured with SEV launch security");
        if (count(d, "/domain/launchSecurity[@type='sev']/dhCert") != 1)
                return validate_fail(v, VALIDATE_CONFIG,
                                "Domain must have SEV owner cert to validate measurement");
        if (count(d, "/domain/launchSecurity[@type='sev']/session") != 1)
                return validate_fail(v, VALIDATE_CONFIG,
                                "Domain must have SEV session data to validate measurement");
        if (count(d, "/domain/os/nvram") != 0 && d->secure)
                return validate_fail(v, VALIDATE_INSECURE,
                                "Domain firmware with NVRAM cannot be securely measured");
        if (count(d, "/domain/os/loader") != 1)
                return validate_fail(v, VALIDATE_CONFIG, "Domain must have one firmware path");
        return check_kernel_config(v, d);
}

static int take_number(Validate *v, ValidateInt *to, bool has, unsigned value, const char *name) {
        if (to->given)
                return 0;
        if (!has)
                return validate_fail(v, VALIDATE_ERROR, "'%s'", name);
        *to = (ValidateInt) { .given = true, .low = value };
        return 0;
}

static int load_launch(Validate *v, ValidateDomain *d) {
        _cleanup_(libvirt_launch_done) LibvirtLaunch l = {};
        _cleanup_free_ char *error = NULL;
        ValidateArgs *a = &v->args;
        int r;

        r = libvirt_domain_launch(d->domain, &l, &error);
        if (r < 0)
                return fail_libvirt(v, r, error);
        if (!l.has_api_major)
                return validate_fail(v, VALIDATE_UNSUPPORTED,
                                "'api-major' not reported in domain launch security info");
        if (!a->measurement && !l.measurement)
                return validate_fail(v, VALIDATE_ERROR, "'sev-measurement'");
        if (!a->measurement)
                a->measurement = TAKE_PTR(l.measurement);
        r = take_number(v, &a->api_major, l.has_api_major, l.api_major, "sev-api-major");
        if (r >= 0)
                r = take_number(v, &a->api_minor, l.has_api_minor, l.api_minor, "sev-api-minor");
        if (r >= 0)
                r = take_number(v, &a->build_id, l.has_build_id, l.build_id, "sev-build-id");
        if (r >= 0)
                r = take_number(v, &a->policy, l.has_policy, l.policy, "sev-policy");
        if (r < 0)
                return r;
        if (validate_is_es(v) && !a->num_cpus.given) {
                if (d->secure)
                        return validate_fail(
                                        v, VALIDATE_INSECURE, "Using CPU count from guest is not secure");
                a->num_cpus = (ValidateInt) { .given = true, .low = d->info.vcpus };
        }
        return 0;
}

/* The text of an element, which must be there; an empty one is an error as Python's open(None) gives it. */
static int path_of(Validate *v, ValidateDomain *d, const char *path, char **ret) {
        if (libvirt_xml_text(d->xml, path, ret) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        if (!*ret)
                return validate_fail(v, VALIDATE_ERROR,
                                "expected str, bytes or os.PathLike object, not NoneType");
        return 0;
}

static int load_firmware(Validate *v, ValidateDomain *d) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (v->firmware_state)
                return 0;
        if (d->remote)
                return validate_fail(v, VALIDATE_UNSUPPORTED, "Cannot access firmware path remotely");
        if (d->secure)
                return validate_fail(v, VALIDATE_INSECURE, "Using firmware path from XML is not secure");
        if (count(d, "/domain/os/loader") == 0)
                return validate_fail(v, VALIDATE_UNSUPPORTED,
                                "--firmware not specified and no firmware path found");
        r = path_of(v, d, "/domain/os/loader", &path);
        return r < 0 ? r : validate_load_firmware(v, path);
}

static int load_boot_file(Validate *v, ValidateDomain *d, const char *what, const char *xpath,
                ValidateDigest *digest) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (digest->present || count(d, xpath) == 0)
                return 0;
        if (d->remote)
                return validate_fail(v, VALIDATE_UNSUPPORTED, "Cannot access %s path remotely", what);
        if (d->secure)
                return validate_fail(v, VALIDATE_INSECURE, "Using %s path from XML is not secure", what);
        r = path_of(v, d, xpath, &path);
        return r < 0 ? r : validate_hash_file(v, path, digest);
}

static int load_words(Validate *v, ValidateDomain *d) {
        _cleanup_free_ char *words = NULL;

        if (v->words.present || count(d, "/domain/os/cmdline") == 0)
                return 0;
        if (d->secure)
                return validate_fail(v, VALIDATE_INSECURE, "Using cmdline string from XML is not secure");
        if (libvirt_xml_text(d->xml, "/domain/os/cmdline", &words) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        if (!words && v->args.strict)
                return validate_fail(v, VALIDATE_ERROR, "'NoneType' object has no attribute 'encode'");
        return validate_hash_words(v, words ?: "");
}

static int load_files(Validate *v, ValidateDomain *d) {
        int r;

        r = load_firmware(v, d);
        /* Without kernel hashes nothing of these was measured; the original takes them all the same. */
        if (!v->args.strict && !d->secure && !has_kernel_hashes(d))
                return r;
        if (r >= 0)
                r = load_boot_file(v, d, "kernel", "/domain/os/kernel", &v->kernel);
        if (r >= 0)
                r = load_boot_file(v, d, "initrd", "/domain/os/initrd", &v->initrd);
        return r < 0 ? r : load_words(v, d);
}

static int sku_number(Validate *v, LibvirtXml *x, const char *path, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        const char *p;

        if (libvirt_xml_text(x, path, &text) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        p = text ? text + strspn(text, "0") : NULL;
        if (!p || (*p && parse_u64(p, ret) < 0))
                return validate_fail(v, VALIDATE_ERROR, "invalid literal for int() with base 10: '%s'",
                                text ?: "");
        if (!*p)
                *ret = 0;
        return 0;
}

static int load_sku(Validate *v, ValidateDomain *d) {
        _cleanup_free_ char *error = NULL, *text = NULL, *mode = NULL;
        _cleanup_libvirt_xml_ LibvirtXml *x = NULL;
        uint64_t family = 0, model = 0, stepping = 0;
        size_t n = 0;
        int r;

        r = libvirt_capabilities(d->connection, &text, &error);
        if (r >= 0)
                r = libvirt_xml_parse(text, &x, &error);
        if (r < 0)
                return fail_libvirt(v, r, error);
        if (!validate_is_es(v) || v->args.vmsa_cpu0 || v->args.cpu_family.given)
                return 0;
        if (d->secure)
                return validate_fail(v, VALIDATE_INSECURE, "Using CPU SKU from capabilities is not secure");
        if (libvirt_xml_text(d->xml, "/domain/cpu/@mode", &mode) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        if (!mode || !streq(mode, "host-passthrough"))
                return validate_fail(v, VALIDATE_UNSUPPORTED,
                                "Using CPU family/model/stepping from host not possible unless 'host-passthrough' is used");
        if (libvirt_xml_count(x, "/capabilities/host/cpu/signature", &n) < 0 || n != 1)
                return validate_fail(
                                v, VALIDATE_UNSUPPORTED, "Libvirt is too old to report host CPU signature");
        r = sku_number(v, x, "/capabilities/host/cpu/signature/@family", &family);
        if (r >= 0)
                r = sku_number(v, x, "/capabilities/host/cpu/signature/@model", &model);
        if (r >= 0)
                r = sku_number(v, x, "/capabilities/host/cpu/signature/@stepping", &stepping);
        return r < 0 ? r : validate_build_vmsas(v, family, model, stepping);
}

int validate_load_domain(Validate *v) {
        ValidateDomain *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        v->domain = d;
        r = connect(v, d);
        if (r >= 0)
                r = lookup(v, d);
        if (r >= 0)
                r = load_xml(v, d);
        if (r >= 0 && !v->args.ignore_config)
                r = check_config(v, d);
        if (r >= 0)
                r = load_launch(v, d);
        if (r >= 0)
                r = load_files(v, d);
        return r < 0 ? r : load_sku(v, d);
}

int validate_inject(Validate *v) {
        _cleanup_free_ char *header = NULL, *payload = NULL, *error = NULL;
        int r;

        r = validate_seal_secrets(v, &header, &payload);
        if (r < 0)
                return r;
        r = libvirt_domain_inject(v->domain->domain, header, payload, NULL, &error);
        if (r >= 0)
                r = libvirt_domain_resume(v->domain->domain, &error);
        return r < 0 ? fail_libvirt(v, r, error) : 0;
}
