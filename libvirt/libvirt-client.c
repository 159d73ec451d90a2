/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "libvirt-client.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "error.h"
#include "libvirt-abi.h"
#include "libvirt-limit.h"
#include "strutil.h"

/* The functions that are used, by name: FUNCTION(result, name, arguments). */
#define LIBVIRT_FUNCTIONS                                                                                   \
        FUNCTION(virConnectPtr, virConnectOpen, (const char *) )                                            \
        FUNCTION(int, virConnectClose, (virConnectPtr))                                                     \
        FUNCTION(char *, virConnectGetHostname, (virConnectPtr))                                            \
        FUNCTION(char *, virConnectGetCapabilities, (virConnectPtr))                                        \
        FUNCTION(int, virNodeGetSEVInfo, (virConnectPtr, virTypedParameter **, int *, unsigned) )           \
        FUNCTION(virDomainPtr, virDomainCreateXML, (virConnectPtr, const char *, unsigned) )                \
        FUNCTION(virDomainPtr, virDomainLookupByID, (virConnectPtr, int) )                                  \
        FUNCTION(virDomainPtr, virDomainLookupByUUIDString, (virConnectPtr, const char *) )                 \
        FUNCTION(virDomainPtr, virDomainLookupByName, (virConnectPtr, const char *) )                       \
        FUNCTION(int, virDomainFree, (virDomainPtr))                                                        \
        FUNCTION(unsigned, virDomainGetID, (virDomainPtr))                                                  \
        FUNCTION(const char *, virDomainGetName, (virDomainPtr))                                            \
        FUNCTION(int, virDomainGetUUIDString, (virDomainPtr, char *) )                                      \
        FUNCTION(int, virDomainIsActive, (virDomainPtr))                                                    \
        FUNCTION(int, virDomainGetInfo, (virDomainPtr, virDomainInfo *) )                                   \
        FUNCTION(char *, virDomainGetXMLDesc, (virDomainPtr, unsigned) )                                    \
        FUNCTION(int, virDomainGetLaunchSecurityInfo,                                                       \
                        (virDomainPtr, virTypedParameter **, int *, unsigned) )                             \
        FUNCTION(int, virDomainSetLaunchSecurityState, (virDomainPtr, virTypedParameter *, int, unsigned) ) \
        FUNCTION(int, virDomainResume, (virDomainPtr))                                                      \
        FUNCTION(int, virDomainDestroy, (virDomainPtr))                                                     \
        FUNCTION(void, virTypedParamsFree, (virTypedParameter *, int) )                                     \
        FUNCTION(void, virSetErrorFunc, (void *, void (*)(void *, void *)))                                 \
        FUNCTION(const char *, virGetLastErrorMessage, (void) )

static struct {
        void *handle; /* stays for the process: libvirt starts its own threads */
#define FUNCTION(result, name, arguments) result(*name) arguments;
        LIBVIRT_FUNCTIONS
#undef FUNCTION
} lib;

/* A call that may wait for the daemon. */
#define ASK(function, ...)                                                                                  \
        ({                                                                                                  \
                libvirt_limit_begin(#function);                                                             \
                typeof(lib.function(__VA_ARGS__)) answer = lib.function(__VA_ARGS__);                       \
                libvirt_limit_end();                                                                        \
                answer;                                                                                     \
        })

struct LibvirtConnection {
        virConnectPtr connection; /* owned */
};

struct LibvirtDomain {
        virDomainPtr domain; /* owned */
};

/* libvirt prints errors by itself unless told otherwise. */
static void say_nothing(_unused_ void *userdata, _unused_ void *error) {
}

static int load(char **reterr) {
        void *handle;

        if (lib.handle)
                return 0;
        handle = dlopen(LIBVIRT_SONAME, RTLD_NOW | RTLD_LOCAL);
        if (!handle)
                return error_set(reterr, -EOPNOTSUPP,
                                "libvirt's client library cannot be loaded (%s): install libvirt0",
                                dlerror());
#define FUNCTION(result, name, arguments)                                                                   \
        lib.name = (typeof(lib.name)) dlsym(handle, #name);                                                 \
        if (!lib.name) {                                                                                    \
                (void) dlclose(handle);                                                                     \
                return error_set(reterr, -EOPNOTSUPP, "libvirt is too old: it has no " #name);              \
        }
        LIBVIRT_FUNCTIONS
#undef FUNCTION
        lib.virSetErrorFunc(NULL, say_nothing);
        lib.handle = handle;
        return 0;
}

static int fail(char **reterr) {
        const char *text = lib.virGetLastErrorMessage();

        return error_set(reterr, -EREMOTEIO, "%s", text && *text ? text : "libvirt gives no reason");
}

int libvirt_open(const char *uri, LibvirtConnection **ret, char **reterr) {
        LibvirtConnection *c;
        int r;

        r = load(reterr);
        if (r < 0)
                return r;
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->connection = ASK(virConnectOpen, uri);
        if (!c->connection) {
                free(c);
                return fail(reterr);
        }
        *ret = c;
        return 0;
}

LibvirtConnection *libvirt_close(LibvirtConnection *c) {
        if (!c)
                return NULL;
        (void) ASK(virConnectClose, c->connection);
        free(c);
        return NULL;
}

static int take_text(char *text, char **ret, char **reterr) {
        if (!text)
                return fail(reterr);
        *ret = text;
        return 0;
}

int libvirt_hostname(LibvirtConnection *c, char **ret, char **reterr) {
        return take_text(ASK(virConnectGetHostname, c->connection), ret, reterr);
}

int libvirt_capabilities(LibvirtConnection *c, char **ret, char **reterr) {
        return take_text(ASK(virConnectGetCapabilities, c->connection), ret, reterr);
}

void libvirt_platform_done(LibvirtPlatform *p) {
        free(p->pdh);
        free(p->cert_chain);
        free(p->cpu0_id);
        *p = (LibvirtPlatform) {};
}

int libvirt_platform(LibvirtConnection *c, LibvirtPlatform *ret, char **reterr) {
        _cleanup_(libvirt_platform_done) LibvirtPlatform p = {};
        const struct {
                const char *name;
                char **value;
        } texts[] = {
                { "pdh", &p.pdh },
                { "cert-chain", &p.cert_chain },
                { "cpu0-id", &p.cpu0_id },
        };
        virTypedParameter *params = NULL;
        int n = 0, r = 0;

        if (ASK(virNodeGetSEVInfo, c->connection, &params, &n, 0) < 0)
                return fail(reterr);
        for (int i = 0; i < n && r >= 0; i++)
                FOREACH_ARRAY(t, texts, ELEMENTSOF(texts))
                        if (params[i].type == VIR_TYPED_PARAM_STRING && streq(params[i].field, t->name) &&
                                        params[i].value.s && !*t->value) {
                                *t->value = strdup(params[i].value.s);
                                r = *t->value ? r : -ENOMEM;
                        }
        lib.virTypedParamsFree(params, n);
        if (r < 0)
                return r;
        if (!p.pdh || !p.cert_chain)
                return error_set(reterr, -EREMOTEIO, "libvirt does not report a %s for this host",
                                p.pdh ? "certificate chain" : "PDH");
        *ret = TAKE_STRUCT(p, (LibvirtPlatform) {});
        return 0;
}

int libvirt_start_paused(LibvirtConnection *c, const char *xml, LibvirtDomain **ret, char **reterr) {
        _cleanup_free_ LibvirtDomain *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        d->domain = ASK(virDomainCreateXML, c->connection, xml, VIR_DOMAIN_START_PAUSED);
        if (!d->domain)
                return fail(reterr);
        *ret = TAKE_PTR(d);
        return 0;
}

int libvirt_lookup(LibvirtConnection *c, LibvirtLookup how, const char *what, LibvirtDomain **ret,
                char **reterr) {
        _cleanup_free_ LibvirtDomain *d = calloc(1, sizeof(*d));
        uint64_t id;

        if (!d)
                return -ENOMEM;
        switch (how) {
        case LIBVIRT_BY_ID:
                /* leading zeros and all, as int() reads it; a text that is not an id finds nothing */
                what += strspn(what, "0");
                if (parse_u64_max(*what ? what : "0", INT32_MAX, &id) < 0)
                        return error_set(reterr, -EREMOTEIO,
                                        "Domain not found: no domain with matching id %s", what);
                d->domain = ASK(virDomainLookupByID, c->connection, (int) id);
                break;
        case LIBVIRT_BY_UUID:
                d->domain = ASK(virDomainLookupByUUIDString, c->connection, what);
                break;
        default:
                d->domain = ASK(virDomainLookupByName, c->connection, what);
        }
        if (!d->domain)
                return fail(reterr);
        *ret = TAKE_PTR(d);
        return 0;
}

LibvirtDomain *libvirt_domain_free(LibvirtDomain *d) {
        if (!d)
                return NULL;
        (void) lib.virDomainFree(d->domain);
        free(d);
        return NULL;
}

void libvirt_domain_info_done(LibvirtDomainInfo *i) {
        free(i->name);
        *i = (LibvirtDomainInfo) {};
}

int libvirt_domain_info(LibvirtDomain *d, LibvirtDomainInfo *ret, char **reterr) {
        _cleanup_(libvirt_domain_info_done) LibvirtDomainInfo i = {};
        virDomainInfo info = {};
        const char *name = lib.virDomainGetName(d->domain);
        int active;

        if (!name || lib.virDomainGetUUIDString(d->domain, i.uuid) < 0)
                return fail(reterr);
        i.name = strdup(name);
        if (!i.name)
                return -ENOMEM;
        i.id = (int) lib.virDomainGetID(d->domain);
        active = ASK(virDomainIsActive, d->domain);
        if (active < 0 || ASK(virDomainGetInfo, d->domain, &info) < 0)
                return fail(reterr);
        i.active = active > 0;
        i.state = info.state;
        i.vcpus = info.nrVirtCpu;
        *ret = TAKE_STRUCT(i, (LibvirtDomainInfo) {});
        return 0;
}

int libvirt_domain_xml(LibvirtDomain *d, char **ret, char **reterr) {
        return take_text(ASK(virDomainGetXMLDesc, d->domain, 0), ret, reterr);
}

int libvirt_domain_xml_to_start(LibvirtDomain *d, char **ret, char **reterr) {
        return take_text(
                        ASK(virDomainGetXMLDesc, d->domain, VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE),
                        ret, reterr);
}

void libvirt_launch_done(LibvirtLaunch *l) {
        free(l->measurement);
        *l = (LibvirtLaunch) {};
}

static int take_parameter(const virTypedParameter *p, LibvirtLaunch *l) {
        const struct {
                const char *name;
                bool *has;
                unsigned *value;
        } numbers[] = {
                { "sev-api-major", &l->has_api_major, &l->api_major },
                { "sev-api-minor", &l->has_api_minor, &l->api_minor },
                { "sev-build-id", &l->has_build_id, &l->build_id },
                { "sev-policy", &l->has_policy, &l->policy },
        };

        if (p->type == VIR_TYPED_PARAM_STRING && streq(p->field, "sev-measurement") && p->value.s) {
                free(l->measurement);
                l->measurement = strdup(p->value.s);
                return l->measurement ? 0 : -ENOMEM;
        }
        FOREACH_ARRAY(n, numbers, ELEMENTSOF(numbers))
                if (p->type == VIR_TYPED_PARAM_UINT && streq(p->field, n->name)) {
                        *n->has = true;
                        *n->value = p->value.ui;
                }
        return 0;
}

int libvirt_domain_launch(LibvirtDomain *d, LibvirtLaunch *ret, char **reterr) {
        _cleanup_(libvirt_launch_done) LibvirtLaunch l = {};
        virTypedParameter *params = NULL;
        int n = 0, r = 0;

        if (ASK(virDomainGetLaunchSecurityInfo, d->domain, &params, &n, 0) < 0)
                return fail(reterr);
        for (int i = 0; i < n && r >= 0; i++)
                r = take_parameter(&params[i], &l);
        lib.virTypedParamsFree(params, n);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(l, (LibvirtLaunch) {});
        return 0;
}

int libvirt_domain_inject(LibvirtDomain *d, const char *header, const char *payload, const uint64_t *address,
                char **reterr) {
        virTypedParameter params[] = {
                { .field = "sev-secret", .type = VIR_TYPED_PARAM_STRING, .value.s = (char *) payload },
                { .field = "sev-secret-header", .type = VIR_TYPED_PARAM_STRING, .value.s = (char *) header },
                { .field = "sev-secret-set-address",
                                .type = VIR_TYPED_PARAM_ULLONG,
                                .value.ul = address ? *address : 0 },
        };
        int n = address ? ELEMENTSOF(params) : ELEMENTSOF(params) - 1;

        if (ASK(virDomainSetLaunchSecurityState, d->domain, params, n, 0) < 0)
                return fail(reterr);
        return 0;
}

int libvirt_domain_resume(LibvirtDomain *d, char **reterr) {
        return ASK(virDomainResume, d->domain) < 0 ? fail(reterr) : 0;
}

int libvirt_domain_destroy(LibvirtDomain *d, char **reterr) {
        return ASK(virDomainDestroy, d->domain) < 0 ? fail(reterr) : 0;
}
