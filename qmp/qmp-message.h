/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The pure half of QMP: lines out of a byte stream, and messages out of lines. Nothing here reads a descriptor, so that
 * the fuzz corpus and the unit tests feed it directly.
 *
 * Theory of operation. QEMU writes one JSON object per line, ended by CRLF ("QEMU Machine Protocol Specification",
 * docs/interop/qmp-spec.rst): a greeting first, then returns and errors (they echo the id of the command) and
 * events, in any mixture. A message of any other shape is refused: we talk to the QEMU that we started, and what we
 * do not understand is not QMP. Members that we do not know are allowed, the format is QEMU's. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "macro.h"

/* The largest answer known is query-qmp-schema's, about 250 KiB; systemd-vmspawn and libvirt cap near here as well. */
#define QMP_LINE_MAX ((size_t) 16 * 1024 * 1024)
/* Nesting is limited by js_parse() to 32 levels; QMP's deepest answer (query-block) has about 8. */

/* Cuts a stream into lines. Zero-initialised is empty. */
typedef struct QmpLines {
        char *data; /* owned */
        size_t size, allocated;
        size_t scanned; /* no newline before this offset */
        size_t start;   /* first byte that was not handed out yet */
} QmpLines;

void qmp_lines_done(QmpLines *l);
/* Room for at least n more bytes: writes go to *ret, then qmp_lines_commit(). -EMSGSIZE if the unfinished line has
 * grown over QMP_LINE_MAX, -ENOMEM. */
_warn_unused_result_ int qmp_lines_reserve(QmpLines *l, size_t n, char **ret);
void qmp_lines_commit(QmpLines *l, size_t n);
/* The next whole line without its CR LF: 1 with *ret (borrowed until the next reserve), 0 if there is none yet. */
_warn_unused_result_ int qmp_lines_next(QmpLines *l, const char **ret, size_t *ret_size);
/* Bytes of an unfinished line. */
size_t qmp_lines_pending(const QmpLines *l);

typedef enum QmpMessageType {
        QMP_MESSAGE_GREETING,
        QMP_MESSAGE_RETURN,
        QMP_MESSAGE_ERROR,
        QMP_MESSAGE_EVENT,
        _QMP_MESSAGE_TYPE_MAX,
        _QMP_MESSAGE_TYPE_INVALID = -EINVAL,
} QmpMessageType;

typedef struct QmpVersion {
        unsigned major, minor, micro;
} QmpVersion;

typedef struct QmpMessage {
        Json *json; /* owned; everything below is borrowed from it */
        QmpMessageType type;
        uint64_t id;        /* RETURN, ERROR: 0 if the message has none; ours begin at 1 */
        const Json *value;  /* RETURN: any value; EVENT: the data object, or NULL */
        const char *name;   /* EVENT: its name; ERROR: its class */
        const char *desc;   /* ERROR */
        QmpVersion version; /* GREETING */
} QmpMessage;

void qmp_message_done(QmpMessage *m);
/* -EBADMSG with an error message for anything that is not a QMP message. */
_warn_unused_result_ int qmp_message_parse(const char *line, size_t size, QmpMessage *ret, char **reterr);
/* {"qemu": {"major", "minor", "micro"}, ...}, in the greeting and from query-version. */
_warn_unused_result_ int qmp_version_parse(const Json *version, QmpVersion *ret, char **reterr);
