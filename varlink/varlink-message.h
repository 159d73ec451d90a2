/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Messages of the varlink protocol: a call and its answer as bytes. */

#include <stdbool.h>
#include <stddef.h>

#include "json.h"
#include "macro.h"

typedef struct VarlinkMessage {
        Json *json;             /* owned: what the members below borrow from */
        const char *method;     /* INTERFACE.METHOD */
        const Json *parameters; /* an object, or NULL */
        bool more, oneway, upgrade;
} VarlinkMessage;

/* A call, without its NUL. -EBADMSG with an error message: not varlink. */
_warn_unused_result_ int varlink_message_parse(
                const char *text, size_t size, VarlinkMessage *ret, char **reterr);
void varlink_message_done(VarlinkMessage *m);

typedef struct VarlinkReply {
        Json *json;             /* owned */
        const char *error;      /* NULL: none */
        const Json *parameters; /* an object, or NULL */
        bool continues;
} VarlinkReply;

_warn_unused_result_ int varlink_reply_parse(
                const char *text, size_t size, VarlinkReply *ret, char **reterr);
void varlink_reply_done(VarlinkReply *r);

/* The bytes with their NUL; *ret_size counts it. parameters: borrowed or NULL. -ENOMEM. */
_warn_unused_result_ int varlink_format_call(
                const char *method, const Json *parameters, bool more, char **ret, size_t *ret_size);
_warn_unused_result_ int varlink_format_reply(
                const char *error, const Json *parameters, bool continues, char **ret, size_t *ret_size);
