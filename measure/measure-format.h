/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reference values in the formats of those who check them.
 *
 *   rvps     Trustee's reference value provider: {"version","type":"sample","payload": base64 of {NAME:[digests]}}
 *   in-toto  Statement v1: the digests are its subjects, the report its predicate
 *   corim    CBOR: an unsigned CoRIM with one reference triple a digest under mkey 641 (draft-deeglaze-amd-sev-snp-corim-profile)
 *
 * Signed, each is the payload of a DSSE envelope. */

#include "crypto-sign.h"
#include "json.h"
#include "measure-launch.h"

/* X(enumerator, name): the row is in measure-format.c. */
#define MEASURE_FORMATS(X)                                                                                  \
        X(FORMAT_TEXT, "text")                                                                              \
        X(FORMAT_JSON, "json")                                                                              \
        X(FORMAT_RVPS, "rvps")                                                                              \
        X(FORMAT_IN_TOTO, "in-toto")                                                                        \
        X(FORMAT_CORIM, "corim")

#define MEASURE_FORMAT_ENUMERATOR(id, name) id,
typedef enum MeasureFormat {
        MEASURE_FORMATS(MEASURE_FORMAT_ENUMERATOR) _MEASURE_FORMAT_MAX,
        _MEASURE_FORMAT_INVALID = -22,
} MeasureFormat;

/* All names, separated by blanks. */
#define MEASURE_FORMAT_NAME(id, name) name " "
#define MEASURE_FORMAT_NAMES          MEASURE_FORMATS(MEASURE_FORMAT_NAME)

const char *measure_format_to_string(MeasureFormat f);
MeasureFormat measure_format_from_string(const char *s);

typedef struct FormatRow {
        char *name; /* owned; names the launch among others: "vcpus=4,cpu=EPYC-v4" */
        LaunchDigest digest;
} FormatRow;

typedef struct FormatInput {
        const char *name; /* of the reference value, or NULL for the usual one */
        const FormatRow *rows;
        size_t n_rows;      /* at least one */
        const Json *report; /* the measurement as JSON */
} FormatInput;

/* All of the input is borrowed; key may be NULL. *ret is owned: text that ends in a newline, or CBOR. */
_warn_unused_result_ int format_rows(MeasureFormat format, const FormatInput *in, const SignKey *key,
                char **ret, size_t *ret_size, char **reterr);

/* CBOR: measure-corim.c. */
_warn_unused_result_ int corim_encode(const FormatInput *in, char **ret, size_t *ret_size, char **reterr);
