/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a call to its handler, and back. What every service has, org.varlink.service, is answered here. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fd.h"
#include "strutil.h"
#include "varlink-internal.h"

#define SERVICE "org.varlink.service"

/* The call is over: the client may make another one. Takes parameters. */
static void finish(VarlinkCall *call, const char *error, Json *parameters) {
        _cleanup_js_ Json *j = parameters;
        char *text;
        size_t size;

        call->busy = false;
        if (call->fd < 0) {
                if (!call->dispatching)
                        varlink_client_free(call);
                return;
        }
        if (call->oneway) {
                varlink_client_continue(call);
                return;
        }
        if (varlink_format_reply(error, j, /* continues= */ false, &text, &size) < 0)
                varlink_client_drop(call);
        else
                varlink_client_send(call, text, size);
}

void varlink_reply(VarlinkCall *call, Json *parameters) {
        finish(call, NULL, parameters);
}

void varlink_error(VarlinkCall *call, const char *name, Json *parameters) {
        finish(call, name, parameters);
}

static void error_with(VarlinkCall *call, const char *name, const char *member, const char *value) {
        Json *parameters = NULL;

        if (js_build(&parameters, "{s:s}", member, value) < 0)
                parameters = NULL;
        varlink_error(call, name, parameters);
}

void varlink_error_parameter(VarlinkCall *call, const char *parameter) {
        error_with(call, VARLINK_ERROR_INVALID_PARAMETER, "parameter", parameter);
}

void varlink_error_errno(VarlinkCall *call, int error) {
        Json *parameters = NULL;

        if (js_build(&parameters, "{s:s, s:i}", "origin", "linux", "errno", abs(error)) < 0)
                parameters = NULL;
        varlink_error(call, VARLINK_ERROR_SYSTEM, parameters);
}

int varlink_call_take_fd(VarlinkCall *call, uint64_t i) {
        int fd;

        if (i >= call->n_fds)
                return -EBADF;
        fd = call->fds[i];
        call->fds[i] = -EBADF;
        return fd;
}

static void get_info(VarlinkCall *call, _unused_ const Json *parameters, _unused_ void *userdata) {
        const VarlinkService *s = call->server->service;
        Json *interfaces = js_array(), *j = NULL;
        int r = interfaces ? js_append(interfaces, js_string(SERVICE)) : -ENOMEM;

        for (size_t i = 0; i < s->n_interfaces && r >= 0; i++)
                r = js_append(interfaces, js_string(s->interfaces[i].name));
        if (r < 0)
                js_unref(interfaces);
        else
                r = js_build(&j, "{s:s, s:s, s:s, s:s, s:o}", "vendor", s->vendor, "product", s->product,
                                "version", s->version, "url", s->url, "interfaces", interfaces);
        if (r < 0)
                varlink_error_errno(call, r);
        else
                varlink_reply(call, j);
}

static void get_description(VarlinkCall *call, const Json *parameters, void *userdata);

static const VarlinkMethod service_methods[] = {
        { .name = "GetInfo", .handler = get_info },
        { .name = "GetInterfaceDescription", .handler = get_description, .parameters = { "interface" } },
};

static const VarlinkInterface service_interface = {
        .name = SERVICE,
        .description = "# What every varlink service answers\n"
                       "interface org.varlink.service\n\n"
                       "# Which service this is, and what interfaces it has\n"
                       "method GetInfo() -> (vendor: string, product: string, version: string, url: string, "
                       "interfaces: []string)\n\n"
                       "# The definition of an interface\n"
                       "method GetInterfaceDescription(interface: string) -> (description: string)\n\n"
                       "# The service does not have this interface\n"
                       "error InterfaceNotFound(interface: string)\n\n"
                       "# The interface does not have this method\n"
                       "error MethodNotFound(method: string)\n\n"
                       "# The method cannot be called this way\n"
                       "error MethodNotImplemented(method: string)\n\n"
                       "# A parameter is missing, unknown or wrong\n"
                       "error InvalidParameter(parameter: string)\n\n"
                       "# The client may not do this\n"
                       "error PermissionDenied()\n\n"
                       "# The method answers many times and must be called with 'more'\n"
                       "error ExpectedMore()\n",
        .methods = service_methods,
        .n_methods = ELEMENTSOF(service_methods),
};

/* name: n bytes. */
static const VarlinkInterface *find_interface(const VarlinkServer *s, const char *name, size_t n) {
        if (strlen(SERVICE) == n && memcmp(name, SERVICE, n) == 0)
                return &service_interface;
        for (size_t i = 0; i < s->service->n_interfaces; i++) {
                const VarlinkInterface *found = s->service->interfaces + i;

                if (strlen(found->name) == n && memcmp(name, found->name, n) == 0)
                        return found;
        }
        return NULL;
}

static void get_description(VarlinkCall *call, const Json *parameters, _unused_ void *userdata) {
        const char *name = js_string_value(js_get(parameters, "interface"));
        const VarlinkInterface *found;
        Json *j = NULL;
        int r;

        if (!name) {
                varlink_error_parameter(call, "interface");
                return;
        }
        found = find_interface(call->server, name, strlen(name));
        if (!found) {
                error_with(call, VARLINK_ERROR_INTERFACE_NOT_FOUND, "interface", name);
                return;
        }
        r = js_build(&j, "{s:s}", "description", found->description);
        if (r < 0)
                varlink_error_errno(call, r);
        else
                varlink_reply(call, j);
}

/* The first parameter that the method does not have, or NULL. */
static const char *unknown_parameter(const VarlinkMethod *method, const Json *parameters) {
        for (void *i = js_iter(parameters); i; i = js_iter_next((Json *) parameters, i)) {
                bool known = false;

                for (size_t k = 0; k < ELEMENTSOF(method->parameters) && method->parameters[k]; k++)
                        known = known || streq(method->parameters[k], js_iter_key(i));
                if (!known)
                        return js_iter_key(i);
        }
        return NULL;
}

static void call_method(VarlinkCall *call, const VarlinkMethod *method, const VarlinkMessage *m) {
        _cleanup_js_ Json *none = m->parameters ? NULL : js_object();
        const Json *parameters = m->parameters ?: none;
        const char *unknown = unknown_parameter(method, parameters);

        if (!parameters)
                varlink_error_errno(call, -ENOMEM);
        else if (m->upgrade)
                error_with(call, VARLINK_ERROR_METHOD_NOT_IMPLEMENTED, "method", m->method);
        else if (method->more && !m->more)
                varlink_error(call, VARLINK_ERROR_EXPECTED_MORE, NULL);
        else if (unknown)
                varlink_error_parameter(call, unknown);
        else
                method->handler(call, parameters, call->server->userdata);
}

void varlink_dispatch(VarlinkClient *c, const VarlinkMessage *m) {
        const char *dot = strrchr(m->method, '.');
        size_t n = dot ? (size_t) (dot - m->method) : strlen(m->method);
        const VarlinkInterface *interface = find_interface(c->server, m->method, n);

        c->busy = true;
        c->oneway = m->oneway;
        if (!interface) {
                _cleanup_free_ char *name = strndup(m->method, n);

                error_with(c, VARLINK_ERROR_INTERFACE_NOT_FOUND, "interface", name);
                return;
        }
        for (size_t i = 0; dot && i < interface->n_methods; i++)
                if (streq(interface->methods[i].name, dot + 1)) {
                        call_method(c, interface->methods + i, m);
                        return;
                }
        error_with(c, VARLINK_ERROR_METHOD_NOT_FOUND, "method", m->method);
}
