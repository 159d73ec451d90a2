/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "libvirt-xml.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

#define XML_PARSE_NOERROR   32
#define XML_PARSE_NOWARNING 64
#define XML_PARSE_NONET     2048

/* FUNCTION(result, name, arguments); xmlChar is unsigned char. */
#define XML_FUNCTIONS                                                                                       \
        FUNCTION(void *, xmlReadMemory, (const char *, int, const char *, const char *, int) )              \
        FUNCTION(void *, xmlGetIntSubset, (void *) )                                                        \
        FUNCTION(void, xmlFreeDoc, (void *) )                                                               \
        FUNCTION(void *, xmlXPathNewContext, (void *) )                                                     \
        FUNCTION(void, xmlXPathFreeContext, (void *) )                                                      \
        FUNCTION(void *, xmlXPathEvalExpression, (const unsigned char *, void *) )                          \
        FUNCTION(void, xmlXPathFreeObject, (void *) )                                                       \
        FUNCTION(double, xmlXPathCastToNumber, (void *) )                                                   \
        FUNCTION(unsigned char *, xmlXPathCastToString, (void *) )                                          \
        FUNCTION(void *, xmlDocGetRootElement, (void *) )                                                   \
        FUNCTION(void *, xmlFirstElementChild, (void *) )                                                   \
        FUNCTION(void *, xmlNextElementSibling, (void *) )                                                  \
        FUNCTION(unsigned char *, xmlGetNodePath, (void *) )                                                \
        FUNCTION(void, xmlUnlinkNode, (void *) )                                                            \
        FUNCTION(void, xmlFreeNode, (void *) )                                                              \
        FUNCTION(void *, xmlNewTextChild, (void *, void *, const unsigned char *, const unsigned char *) )  \
        FUNCTION(void, xmlDocDumpMemory, (void *, unsigned char **, int *) )

static struct {
        void *handle; /* stays for the process */
#define FUNCTION(result, name, arguments) result(*name) arguments;
        XML_FUNCTIONS
#undef FUNCTION
        void (**free_function)(void *); /* xmlFree is a variable */
} lib;

struct LibvirtXml {
        void *document, *context; /* owned */
};

static int load(char **reterr) {
        static const char *const names[] = { "libxml2.so.2", "libxml2.so.16" };
        void *handle = NULL;

        if (lib.handle)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(names) && !handle; i++)
                handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!handle)
                return error_set(reterr, -EOPNOTSUPP, "libxml2 cannot be loaded: install it");
#define FUNCTION(result, name, arguments)                                                                   \
        lib.name = (typeof(lib.name)) dlsym(handle, #name);                                                 \
        if (!lib.name) {                                                                                    \
                (void) dlclose(handle);                                                                     \
                return error_set(reterr, -EOPNOTSUPP, "this libxml2 has no " #name);                        \
        }
        XML_FUNCTIONS
#undef FUNCTION
        lib.free_function = dlsym(handle, "xmlFree");
        if (!lib.free_function) {
                (void) dlclose(handle);
                return error_set(reterr, -EOPNOTSUPP, "this libxml2 has no xmlFree");
        }
        lib.handle = handle;
        return 0;
}

int libvirt_xml_parse(const char *text, LibvirtXml **ret, char **reterr) {
        _cleanup_libvirt_xml_ LibvirtXml *x = NULL;
        size_t n = strlen(text);
        int r;

        r = load(reterr);
        if (r < 0)
                return r;
        if (n > LIBVIRT_XML_SIZE_MAX)
                return error_set(reterr, -EBADMSG, "%zu bytes of XML are too much", n);
        x = calloc(1, sizeof(*x));
        if (!x)
                return -ENOMEM;
        x->document = lib.xmlReadMemory(text, (int) n, "libvirt.xml", NULL,
                        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
        if (!x->document)
                return error_set(reterr, -EBADMSG, "the XML is not well-formed; expected one document such as 'virsh dumpxml' prints");
        /* Entities are not replaced, so that what is read of their text would be less than what stands there. */
        if (lib.xmlGetIntSubset(x->document))
                return error_set(reterr, -EBADMSG,
                                "the XML has a document type (DOCTYPE), which libvirt never writes");
        x->context = lib.xmlXPathNewContext(x->document);
        if (!x->context)
                return -ENOMEM;
        *ret = TAKE_PTR(x);
        return 0;
}

LibvirtXml *libvirt_xml_free(LibvirtXml *x) {
        if (!x)
                return NULL;
        if (x->context)
                lib.xmlXPathFreeContext(x->context);
        if (x->document)
                lib.xmlFreeDoc(x->document);
        free(x);
        return NULL;
}

static int evaluate(LibvirtXml *x, const char *function, const char *path, void **ret) {
        char expression[512];
        int n = snprintf(expression, sizeof(expression), "%s(%s)", function, path);

        if (n < 0 || (size_t) n >= sizeof(expression))
                return -E2BIG;
        *ret = lib.xmlXPathEvalExpression((const unsigned char *) expression, x->context);
        return *ret ? 0 : -EINVAL;
}

int libvirt_xml_count(LibvirtXml *x, const char *path, size_t *ret) {
        void *object = NULL;
        double n;
        int r;

        r = evaluate(x, "count", path, &object);
        if (r < 0)
                return r;
        n = lib.xmlXPathCastToNumber(object);
        lib.xmlXPathFreeObject(object);
        *ret = n >= 0 && n < INT_MAX ? (size_t) n : 0;
        return 0;
}

/* What a function of XPath says about a path, as text: owned, NULL if that is empty. */
static int ask_text(LibvirtXml *x, const char *function, const char *path, char **ret) {
        void *object = NULL;
        unsigned char *text;
        char *copy = NULL;
        int r;

        r = evaluate(x, function, path, &object);
        if (r < 0)
                return r;
        text = lib.xmlXPathCastToString(object);
        lib.xmlXPathFreeObject(object);
        if (!text)
                return -ENOMEM;
        if (*text)
                copy = strdup((const char *) text);
        r = *text && !copy ? -ENOMEM : 0;
        (*lib.free_function)(text);
        if (r < 0)
                return r;
        *ret = copy;
        return 0;
}

int libvirt_xml_text(LibvirtXml *x, const char *path, char **ret) {
        size_t n;
        int r;

        /* The text in front of the first child, which is all of it in what we ask for; attributes have no child. */
        r = libvirt_xml_count(x, path, &n);
        if (r < 0)
                return r;
        *ret = NULL;
        return n == 0 ? 0 : ask_text(x, "string", path, ret);
}

int libvirt_xml_name(LibvirtXml *x, const char *path, char **ret) {
        return ask_text(x, "local-name", path, ret);
}

#define SESSION_PARENT "/domain/launchSecurity"

/* Whether the element's path is this one. Structures of libxml2 are not used, so that its functions must tell. */
static int node_is(void *node, const char *path) {
        unsigned char *found = lib.xmlGetNodePath(node);
        int r;

        if (!found)
                return -ENOMEM;
        r = streq((const char *) found, path);
        (*lib.free_function)(found);
        return r;
}

/* The first child with this path, which names no other; NULL: there is none. */
static int find_child(void *parent, const char *path, void **ret) {
        *ret = NULL;
        for (void *c = lib.xmlFirstElementChild(parent); c; c = lib.xmlNextElementSibling(c)) {
                int r = node_is(c, path);

                if (r < 0)
                        return r;
                if (r > 0) {
                        *ret = c;
                        return 0;
                }
        }
        return 0;
}

static int replace_child(LibvirtXml *x, void *parent, const char *name, const char *value) {
        char path[128];
        size_t n;
        void *old;
        int r;

        (void) snprintf(path, sizeof(path), SESSION_PARENT "/%s", name);
        r = libvirt_xml_count(x, path, &n);
        if (r >= 0 && n > 1)
                r = -EINVAL;
        if (r >= 0)
                r = find_child(parent, path, &old);
        if (r < 0)
                return r;
        if (old) {
                lib.xmlUnlinkNode(old);
                lib.xmlFreeNode(old);
        }
        return lib.xmlNewTextChild(parent, NULL, (const unsigned char *) name, (const unsigned char *) value)
                        ? 0
                        : -ENOMEM;
}

int libvirt_xml_set_session(
                const char *text, const char *dh_cert, const char *session, char **ret, char **reterr) {
        _cleanup_libvirt_xml_ LibvirtXml *x = NULL;
        unsigned char *dump = NULL;
        void *parent = NULL;
        size_t n, all;
        int r, size = 0;

        r = libvirt_xml_parse(text, &x, reterr);
        if (r >= 0)
                r = libvirt_xml_count(x, SESSION_PARENT, &all);
        if (r >= 0)
                r = libvirt_xml_count(x, SESSION_PARENT "[@type='sev']", &n);
        if (r < 0)
                return r;
        if (n != 1 || all != 1)
                return error_set(reterr, -EINVAL, "the domain has no <launchSecurity type='sev'>");
        r = find_child(lib.xmlDocGetRootElement(x->document), SESSION_PARENT, &parent);
        if (r >= 0 && !parent)
                r = -EINVAL;
        if (r >= 0)
                r = replace_child(x, parent, "dhCert", dh_cert);
        if (r >= 0)
                r = replace_child(x, parent, "session", session);
        if (r == -EINVAL)
                return error_set(reterr, r, "<launchSecurity> has more than one dhCert or session");
        if (r < 0)
                return r;
        lib.xmlDocDumpMemory(x->document, &dump, &size);
        if (!dump)
                return -ENOMEM;
        *ret = strndup((const char *) dump, (size_t) size);
        (*lib.free_function)(dump);
        return *ret ? 0 : -ENOMEM;
}
