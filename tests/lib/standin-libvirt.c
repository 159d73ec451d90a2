/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stand-in for libvirt.so.0, for tests only: the functions that cvmspawn loads, answered from the JSON file that STANDIN_LIBVIRT names:
 * {"hostname", "capabilities", "sev": {...}, "refuse": ["inject", ...], "hang": "inject", "domains": [{"id", "name", "uuid", "active", "state",
 * "vcpus", "xml", "launch": {...}}]}. What is injected, resumed and destroyed is appended to that file's name with ".log". A domain
 * is started by the program that STANDIN_START names, which gets the XML on standard input and puts the launch into that file, as a
 * host would; without one, nothing starts. It proves nothing about libvirt itself. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "json.h"
#include "strutil.h"

#define EXPORT __attribute__((visibility("default")))

enum { PARAM_UINT = 2, PARAM_STRING = 7 };

typedef struct Parameter {
        char field[80];
        int type;
        union {
                unsigned ui;
                unsigned long long ul;
                char *s;
        } value;
} Parameter;

typedef struct Info {
        unsigned char state;
        unsigned long max_memory, memory;
        unsigned short vcpus;
        unsigned long long cpu_time;
} Info;

static char message[256];
static Json *host;

#define FAIL(value, ...)                                                                                    \
        ({                                                                                                  \
                (void) snprintf(message, sizeof(message), __VA_ARGS__);                                     \
                value;                                                                                      \
        })

static int read_host(void) {
        _cleanup_free_ char *text = NULL;
        const char *path = getenv("STANDIN_LIBVIRT");
        size_t size;

        if (!path || file_read_all(path, 1024 * 1024, &text, &size) < 0 ||
                        js_parse(text, size, &host, NULL) < 0)
                return FAIL(-1, "STANDIN_LIBVIRT names no readable file");
        return 0;
}

static bool refused(const char *what) {
        const Json *list = js_get(host, "refuse");

        while (streq_ptr(js_string_value(js_get(host, "hang")), what))
                (void) pause();
        for (size_t i = 0; i < js_length(list); i++)
                if (streq_ptr(js_string_value(js_at(list, i)), what))
                        return FAIL(true, "Operation not supported: the stand-in refuses to %s", what);
        return false;
}

EXPORT void *virConnectOpen(const char *uri);
EXPORT void *virConnectOpen(const char *uri) {
        if (startswith(uri, "nowhere"))
                return FAIL(NULL, "no connection driver available for %s", uri);
        return read_host() < 0 || refused("open") ? NULL : host;
}

EXPORT int virConnectClose(void *c);
EXPORT int virConnectClose(_unused_ void *c) {
        host = js_unref(host);
        return 0;
}

static char *copy(const Json *j, const char *key) {
        const char *s = js_string_value(js_get(j, key));

        return s ? strdup(s) : FAIL(NULL, "the stand-in has no %s", key);
}

EXPORT char *virConnectGetHostname(void *c);
EXPORT char *virConnectGetHostname(void *c) {
        return copy(c, "hostname");
}

EXPORT char *virConnectGetCapabilities(void *c);
EXPORT char *virConnectGetCapabilities(void *c) {
        return copy(c, "capabilities");
}

static uint64_t number(const Json *j, const char *key) {
        uint64_t v = 0;

        return js_u64_value(js_get(j, key), &v) < 0 ? 0 : v;
}

static const Json *find(const char *key, const char *text) {
        const Json *list = js_get(host, "domains");

        for (size_t i = 0; i < js_length(list); i++)
                if (streq_ptr(js_string_value(js_get(js_at(list, i), key)), text))
                        return js_at(list, i);
        return FAIL(NULL, "Domain not found: no domain with matching %s '%s'", key, text);
}

EXPORT const void *virDomainLookupByID(void *c, int id);
EXPORT const void *virDomainLookupByID(_unused_ void *c, int id) {
        const Json *list = js_get(host, "domains");

        for (size_t i = 0; i < js_length(list); i++)
                if (number(js_at(list, i), "id") == (uint64_t) id)
                        return js_at(list, i);
        return FAIL(NULL, "Domain not found: no domain with matching id '%d'", id);
}

EXPORT const void *virDomainLookupByUUIDString(void *c, const char *uuid);
EXPORT const void *virDomainLookupByUUIDString(_unused_ void *c, const char *uuid) {
        size_t digits = 0;

        for (const char *p = uuid; *p; p++)
                digits += *p != '-';
        if (digits != 32)
                return FAIL(NULL,
                                "invalid argument: uuidstr in virDomainLookupByUUIDString must be a valid "
                                "UUID: %s",
                                uuid);
        return find("uuid", uuid);
}

EXPORT const void *virDomainLookupByName(void *c, const char *name);
EXPORT const void *virDomainLookupByName(_unused_ void *c, const char *name) {
        return find("name", name);
}

EXPORT int virDomainFree(void *d);
EXPORT int virDomainFree(_unused_ void *d) {
        return 0;
}

EXPORT unsigned virDomainGetID(void *d);
EXPORT unsigned virDomainGetID(void *d) {
        return (unsigned) number(d, "id");
}

EXPORT const char *virDomainGetName(void *d);
EXPORT const char *virDomainGetName(void *d) {
        return js_string_value(js_get(d, "name"));
}

EXPORT int virDomainGetUUIDString(void *d, char *buf);
EXPORT int virDomainGetUUIDString(void *d, char *buf) {
        (void) snprintf(buf, 37, "%s", js_string_value(js_get(d, "uuid")));
        return 0;
}

EXPORT int virDomainIsActive(void *d);
EXPORT int virDomainIsActive(void *d) {
        bool active = false;

        (void) !js_bool_value(js_get(d, "active"), &active);
        return active;
}

EXPORT int virDomainGetInfo(void *d, Info *info);
EXPORT int virDomainGetInfo(void *d, Info *info) {
        *info = (Info) { .state = (unsigned char) number(d, "state"),
                .vcpus = (unsigned short) number(d, "vcpus") };
        return 0;
}

EXPORT char *virDomainGetXMLDesc(void *d, unsigned flags);
EXPORT char *virDomainGetXMLDesc(void *d, _unused_ unsigned flags) {
        return copy(d, "xml");
}

/* The members of an object as libvirt's parameters. */
static int give_parameters(const Json *launch, const char *complaint, Parameter **params, int *n) {
        Parameter *list = calloc(16, sizeof(*list));

        if (!launch || !list) {
                free(list);
                return FAIL(-1, "%s", complaint);
        }
        *n = 0;
        for (void *i = js_iter(launch); i && *n < 16; i = js_iter_next(launch, i), (*n)++) {
                const char *text = js_string_value(js_iter_value(i));
                uint64_t v = 0;

                (void) snprintf(list[*n].field, sizeof(list[*n].field), "%s", js_iter_key(i));
                list[*n].type = text ? PARAM_STRING : PARAM_UINT;
                if (text)
                        list[*n].value.s = strdup(text);
                else if (js_u64_value(js_iter_value(i), &v) >= 0)
                        list[*n].value.ui = (unsigned) v;
        }
        *params = list;
        return 0;
}

EXPORT int virDomainGetLaunchSecurityInfo(void *d, Parameter **params, int *n, unsigned flags);
EXPORT int virDomainGetLaunchSecurityInfo(void *d, Parameter **params, int *n, _unused_ unsigned flags) {
        return give_parameters(
                        js_get(d, "launch"), "launch security information is not available", params, n);
}

EXPORT int virNodeGetSEVInfo(void *c, Parameter **params, int *n, unsigned flags);
EXPORT int virNodeGetSEVInfo(void *c, Parameter **params, int *n, _unused_ unsigned flags) {
        return give_parameters(js_get(c, "sev"),
                        "unsupported configuration: QEMU does not support SEV guest", params, n);
}

EXPORT void virTypedParamsFree(Parameter *params, int n);
EXPORT void virTypedParamsFree(Parameter *params, int n) {
        for (int i = 0; i < n; i++)
                if (params[i].type == PARAM_STRING)
                        free(params[i].value.s);
        free(params);
}

static void write_log(const char *text, const char *a, const char *b) {
        char path[4096];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s.log", getenv("STANDIN_LIBVIRT"));
        f = fopen(path, "ae");
        if (!f)
                return;
        (void) fprintf(f, "%s%s%s%s%s\n", text, a ? " " : "", a ?: "", b ? " " : "", b ?: "");
        (void) fclose(f);
}

EXPORT int virDomainSetLaunchSecurityState(void *d, Parameter *params, int n, unsigned flags);
EXPORT int virDomainSetLaunchSecurityState(
                _unused_ void *d, Parameter *params, int n, _unused_ unsigned flags) {
        const char *header = NULL, *payload = NULL;

        if (refused("inject"))
                return -1;

        for (int i = 0; i < n; i++) {
                if (streq(params[i].field, "sev-secret-header"))
                        header = params[i].value.s;
                if (streq(params[i].field, "sev-secret"))
                        payload = params[i].value.s;
        }
        write_log("inject", header, payload);
        return 0;
}

EXPORT int virDomainResume(void *d);
EXPORT int virDomainResume(_unused_ void *d) {
        if (refused("resume"))
                return -1;
        write_log("resume", NULL, NULL);
        return 0;
}

EXPORT int virDomainDestroy(void *d);
EXPORT int virDomainDestroy(_unused_ void *d) {
        if (refused("destroy"))
                return -1;
        write_log("destroy", NULL, NULL);
        return 0;
}

/* Starts what the XML says, and rereads the host: the domain is the one with this name. */
EXPORT const void *virDomainCreateXML(void *c, const char *xml, unsigned flags);
EXPORT const void *virDomainCreateXML(_unused_ void *c, const char *xml, unsigned flags) {
        const char *program = getenv("STANDIN_START"), *name = strstr(xml, "<name>"),
                   *end = strstr(xml, "</name>");
        _cleanup_free_ char *who = NULL;
        FILE *f;

        if (refused("start"))
                return NULL;
        if (flags != 1 || !program || !name || !end || end < name)
                return FAIL(NULL, "the stand-in cannot start this");
        f = popen(program, "we");
        if (!f || fputs(xml, f) < 0 || pclose(f) != 0)
                return FAIL(NULL, "internal error: process exited while connecting to monitor");
        js_unref(host);
        host = NULL;
        who = strndup(name + 6, (size_t) (end - name - 6));
        if (!who || read_host() < 0)
                return FAIL(NULL, "the stand-in's host is gone");
        write_log("start", NULL, NULL);
        return find("name", who);
}

EXPORT void virSetErrorFunc(void *userdata, void *function);
EXPORT void virSetErrorFunc(_unused_ void *userdata, _unused_ void *function) {
}

EXPORT const char *virGetLastErrorMessage(void);
EXPORT const char *virGetLastErrorMessage(void) {
        return message;
}
