/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The forms in which people hand over reports and certificates. Text encodings are undone here, once for all programs:
 *
 *      byte order marks, UTF-16   what a redirection in PowerShell writes
 *      hexadecimal text           xxd -p; blanks, line breaks, colons and one 0x in front are allowed
 *      a list of numbers          0x12, 0x34 or \x12\x34, as in a program's source (xxd -i)
 *      base64                     RFC 4648, either alphabet, with or without padding and line breaks
 *      armour                     base64 between lines of dashes, BEGIN and END; data:...;base64, (RFC 2397)
 *      JSON string                "-----BEGIN CERTIFICATE-----\n..." with its escapes, with or without its quotes
 *      percent-encoding           RFC 3986, as HTTP headers and Azure's metadata service carry PEM
 *
 * Text and binary evidence cannot be confused: a report, a DER certificate and a certificate table all have bytes that no text has. What
 * is known but not decoded (compressed data, other kinds of evidence) has a name for the error message. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "macro.h"

#define EVIDENCE_LAYERS_MAX  4u   /* base64 of a JSON-escaped PEM has two */
#define EVIDENCE_STRINGS_MAX 256u /* strings that are looked at in one JSON document */

/* Undoes every text encoding: 1 with the decoded bytes in *ret (owned) and what was undone in *ret_note (owned, "base64 text"), 0 if the
 * bytes are not encoded, -ENOMEM. */
_warn_unused_result_ int evidence_decode(
                const void *p, size_t n, uint8_t **ret, size_t *ret_size, char **ret_note);

/* What the bytes look like if they are not what was asked for, and what to do about it; a literal, NULL if nothing is recognised. */
const char *evidence_looks_like(const void *p, size_t n);

/* The beginning of a report: a version that is known or near, the only signature algorithm. */
bool evidence_is_report(const uint8_t *p, size_t n);
/* Binary data that went through a text decoder: replacement characters (U+FFFD) where bytes were, Latin-1 made UTF-8, or LF made CR LF.
 * The name for the error message, a literal; NULL if nothing points to it. */
const char *evidence_is_damaged(const void *p, size_t n);

/* True if the text is a JSON object or array; then each string and each array of bytes in it, in order, goes to the function with the name
 * of its member (NULL: in an array) until it returns a negative value, which is the result. -EBADMSG with an error message if it is not
 * valid JSON. */
typedef int (*EvidenceMember)(void *userdata, const char *name, const void *value, size_t size, bool binary);
bool evidence_is_json(const void *p, size_t n);
_warn_unused_result_ int evidence_each_string(
                const void *p, size_t n, EvidenceMember function, void *userdata, char **reterr);
