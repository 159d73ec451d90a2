/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Intel's signed JSON: {"tcbInfo":{...},"signature":"..."} or {"enclaveIdentity":{...},"signature":"..."}. The signature is over the bytes of the inner
 * object exactly as received, so they are cut out of the text, not written again. */

#include <stddef.h>
#include <stdint.h>

#include "crypto-p256.h"
#include "macro.h"

typedef enum TdSignedKind {
        TD_SIGNED_TCB_INFO,
        TD_SIGNED_QE_IDENTITY,
        _TD_SIGNED_MAX,
        _TD_SIGNED_INVALID = -22,
} TdSignedKind;

typedef struct TdSigned {
        TdSignedKind kind;
        char *body; /* owned */
        size_t size;
        uint8_t signature[P256_POINT_SIZE];
} TdSigned;

void td_signed_done(TdSigned *s);
/* 1 with *ret if the JSON text is one, 0 if it is JSON of another kind; -EBADMSG with an error message. */
_warn_unused_result_ int td_signed_read(const char *text, size_t size, TdSigned *ret, char **reterr);
/* From body and signature (hex, lower case as Intel writes it) that came apart. */
_warn_unused_result_ int td_signed_new(TdSignedKind kind, const char *body, size_t size,
                const char *signature, TdSigned *ret, char **reterr);
