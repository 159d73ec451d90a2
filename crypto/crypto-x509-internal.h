/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What certificates and revocation lists have in common; for crypto-x509*.c and crypto-crl.c only. */

#include "crypto-der.h"
#include "crypto-x509.h"

/* SEQUENCE { body, algorithm, signature } from the inside of the outer sequence. */
int x509_read_signed(ByteReader *outer, X509Profile profile, DerValue *ret_body,
                CertificateBytes *ret_signature, char **reterr);
int x509_read_algorithm(ByteReader *r, X509Profile profile);
int x509_read_public_key(Certificate *c, ByteReader *r);
int x509_read_time(ByteReader *r, int64_t *ret);
bool x509_same_bytes(const CertificateBytes *a, const CertificateBytes *b);
int x509_verify_bytes(
                const CertificateBytes *body, const CertificateBytes *signature, const Certificate *issuer);
