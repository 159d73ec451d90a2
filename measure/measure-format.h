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

typedef enum MeasureFormat {
        FORMAT_TEXT,
        FORMAT_JSON,
        FORMAT_RVPS,
        FORMAT_IN_TOTO,
        FORMAT_CORIM,
        _MEASURE_FORMAT_MAX,
        _MEASURE_FORMAT_INVALID = -22,
} MeasureFormat;

const char *measure_format_to_string(MeasureFormat f);
MeasureFormat measure_format_from_string(const char *s);

typedef struct FormatRow {
        char *name; /* owned; names the launch among others: "vcpus=4,cpu=EPYC-v4" */
        LaunchDigest digest;
} FormatRow;

/* name: of the reference value, or NULL for the usual one. report: the measurement as JSON (borrowed). *ret is owned: text that
 * ends in a newline, or CBOR. */
_warn_unused_result_ int format_rows(MeasureFormat format, const char *name, const FormatRow *rows,
                size_t n_rows, const Json *report, const SignKey *key, char **ret, size_t *ret_size,
                char **reterr);

/* CBOR: measure-corim.c. */
_warn_unused_result_ int corim_encode(const char *name, const FormatRow *rows, size_t n_rows, uint8_t **ret,
                size_t *ret_size, char **reterr);
