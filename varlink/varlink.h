/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The service side of varlink: methods that a process offers on a unix stream socket, driven by its event loop.
 *
 * Theory of operation. A message is a JSON object that ends with a NUL byte. Each client has one call at a time: what it sends before the
 * answer waits in the socket. A handler answers at once or keeps the VarlinkCall and answers later, exactly once. Nothing ever waits
 * for a client: answers that its socket does not take are kept up to VARLINK_QUEUE_MAX bytes, and then the client is
 * disconnected. So is a client whose message is not varlink or longer than VARLINK_MESSAGE_MAX. At VARLINK_CLIENTS_MAX clients the one
 * that has been idle longest is disconnected for a new one; where all have calls in progress, the new one is.
 *
 * A call whose client has left keeps its place among the clients until it is answered, so that their number also limits the calls.
 *
 * Spec: varlink.org (service, method call, interface definition); systemd's sd-varlink for what it adds: descriptors, ExpectedMore. */

#include <stdbool.h>
#include <stddef.h>

#include "json.h"
#include "loop.h"
#include "macro.h"

#define VARLINK_CLIENTS_MAX 16u
#define VARLINK_MESSAGE_MAX ((size_t) 64 * 1024)
#define VARLINK_QUEUE_MAX   ((size_t) 256 * 1024)
#define VARLINK_FDS_MAX     4u

#define VARLINK_ERROR_INTERFACE_NOT_FOUND    "org.varlink.service.InterfaceNotFound"
#define VARLINK_ERROR_METHOD_NOT_FOUND       "org.varlink.service.MethodNotFound"
#define VARLINK_ERROR_METHOD_NOT_IMPLEMENTED "org.varlink.service.MethodNotImplemented"
#define VARLINK_ERROR_INVALID_PARAMETER      "org.varlink.service.InvalidParameter"
#define VARLINK_ERROR_EXPECTED_MORE          "org.varlink.service.ExpectedMore"
#define VARLINK_ERROR_SYSTEM                 "io.systemd.System"

typedef struct VarlinkServer VarlinkServer;
typedef struct VarlinkCall VarlinkCall; /* valid until it is answered or handed to varlink_subscribe() */

/* parameters: an object, borrowed until the handler returns; its members are among those of the method. */
typedef void (*VarlinkHandler)(VarlinkCall *call, const Json *parameters, void *userdata);

typedef struct VarlinkMethod {
        const char *name; /* without the interface */
        VarlinkHandler handler;
        bool more;                 /* answers many times: refused without `more` */
        const char *parameters[4]; /* their names; others are refused */
} VarlinkMethod;

typedef struct VarlinkInterface {
        const char *name;
        const char *description; /* the interface definition: "interface NAME" and its members */
        const VarlinkMethod *methods;
        size_t n_methods;
} VarlinkInterface;

typedef struct VarlinkService {
        const char *vendor, *product, *version, *url;
        const VarlinkInterface *interfaces; /* org.varlink.service need not be among them */
        size_t n_interfaces;
} VarlinkService;

/* The service is borrowed. */
_warn_unused_result_ int varlink_server_new(
                Loop *loop, const VarlinkService *service, void *userdata, VarlinkServer **ret);
/* Sends what the clients' sockets take at once, and disconnects them. All calls must have been answered. Takes NULL, returns NULL. */
VarlinkServer *varlink_server_unref(VarlinkServer *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(VarlinkServer *, varlink_server_unref);
/* Accepts clients from a listening socket, which stays the caller's. */
_warn_unused_result_ int varlink_server_listen(VarlinkServer *s, int fd);
/* A connected socket, not blocking; taken in every case. */
_warn_unused_result_ int varlink_server_add_client(VarlinkServer *s, int fd);
size_t varlink_server_n_clients(const VarlinkServer *s);

/* Answers; parameters: taken in every case, NULL: none. A client that has left gets nothing. */
void varlink_reply(VarlinkCall *call, Json *parameters);
void varlink_error(VarlinkCall *call, const char *name, Json *parameters);
/* InvalidParameter with the parameter's name. */
void varlink_error_parameter(VarlinkCall *call, const char *parameter);
/* io.systemd.System with an errno (negative or positive). */
void varlink_error_errno(VarlinkCall *call, int error);
/* The descriptor that came with the call, now the caller's; -EBADF: the call has none of that index. */
int varlink_call_take_fd(VarlinkCall *call, uint64_t i);

/* From now on the call gets what varlink_publish() says until its client or the server ends. topics: taken in every case, NULL: all of
 * them. first: the first answer; taken in every case. */
void varlink_subscribe(VarlinkCall *call, char **topics, Json *first);
/* One more answer for the subscribers of this topic; parameters is borrowed. */
void varlink_publish(VarlinkServer *s, const char *topic, const Json *parameters);
