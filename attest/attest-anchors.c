/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attest-anchors.h"

#include <string.h>

/* ARK keys. Provenance: SHA-256 over the DER SubjectPublicKeyInfo of the modulus and exponent in AMD's published files
 * ask_ark_naples.cert, ask_ark_rome.cert, ask_ark_milan.cert, ask_ark_genoa.cert, ask_ark_turin.cert
 * (download.amd.com/developer/eula/sev); the last three equal those of the X.509 roots that the KDS serves at
 * kdsintf.amd.com/vcek/v1/{Milan,Genoa,Turin}/cert_chain. */
static const TrustAnchor amd_items[] = {
        { "Naples",
                        { 0x3a, 0x04, 0xf8, 0xf1, 0x34, 0x7d, 0xe2, 0x06, 0xc9, 0x20, 0x6a, 0x81, 0x14, 0x8b,
                                        0xa4, 0xef, 0x0a, 0x23, 0x3b, 0x24, 0x5d, 0x43, 0xa1, 0x5d, 0xd8,
                                        0x2d, 0xe0, 0x43, 0xbb, 0x3e, 0x4f, 0x69 } },
        { "Rome",
                        { 0x74, 0x47, 0xff, 0xa2, 0x1e, 0x2b, 0x93, 0x8b, 0xfa, 0xde, 0x89, 0xf5, 0xe9, 0x06,
                                        0x6c, 0x00, 0xa3, 0x28, 0x81, 0x3b, 0xfc, 0x43, 0x68, 0x56, 0x05,
                                        0xcc, 0xea, 0xbd, 0x18, 0xda, 0x6f, 0xde } },
        { "Milan",
                        { 0x9f, 0x05, 0x6b, 0xee, 0x44, 0x37, 0x7e, 0x29, 0x30, 0x8c, 0xb5, 0xff, 0xa8, 0x95,
                                        0xbd, 0xfb, 0x62, 0xd1, 0x88, 0x81, 0xfa, 0x6b, 0xed, 0x8d, 0x6f,
                                        0x07, 0x5b, 0x02, 0x04, 0x08, 0x9c, 0xb9 } },
        { "Genoa",
                        { 0x42, 0x9a, 0x69, 0xc9, 0x42, 0x2a, 0xa2, 0x58, 0xee, 0x4d, 0x8d, 0xb5, 0xfc, 0xda,
                                        0x9c, 0x64, 0x70, 0xef, 0x15, 0xf8, 0xcd, 0x5a, 0x9c, 0xeb, 0xd6,
                                        0xcb, 0xc7, 0xd9, 0x0b, 0x86, 0x38, 0x31 } },
        { "Turin",
                        { 0x4f, 0x12, 0x54, 0x10, 0x56, 0x3a, 0x2a, 0xb9, 0xa5, 0x03, 0x56, 0xf9, 0x24, 0x3f,
                                        0x6f, 0xe0, 0xb6, 0xf7, 0x3d, 0xe9, 0x86, 0x03, 0xf5, 0x3f, 0x90,
                                        0x33, 0x9c, 0x70, 0xe9, 0xd7, 0xad, 0x08 } },
};

const TrustAnchors *trust_anchors_amd(void) {
        static const TrustAnchors amd = { amd_items, ELEMENTSOF(amd_items) };

        return &amd;
}

/* Intel SGX Root CA. Provenance: SHA-256 over the DER SubjectPublicKeyInfo of the certificate at
 * certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.cer (valid from 2018-05-21 to 2049-12-31), which
 * the quotes of all TDX machines have as the last one of their chain. */
static const TrustAnchor intel_items[] = {
        { "sgx",
                        { 0xa0, 0xaf, 0x03, 0x12, 0x89, 0xf5, 0xd5, 0xd4, 0x13, 0x2f, 0x91, 0x86, 0x06, 0x8a,
                                        0x7f, 0xc1, 0x36, 0x28, 0x63, 0x3b, 0xa2, 0x35, 0x77, 0x74, 0x72,
                                        0xe2, 0x9b, 0x6b, 0x6c, 0x67, 0xa4, 0x9e } },
};

/* The same certificate, DER in base64: revocation lists of the root come without it. */
static const char intel_root[] =
                "MIICjzCCAjSgAwIBAgIUImUM1lqdNInzg7SVUr9QGzknBqwwCgYIKoZIzj0EAwIwaDEaMBgGA1UE"
                "AwwRSW50ZWwgU0dYIFJvb3QgQ0ExGjAYBgNVBAoMEUludGVsIENvcnBvcmF0aW9uMRQwEgYDVQQH"
                "DAtTYW50YSBDbGFyYTELMAkGA1UECAwCQ0ExCzAJBgNVBAYTAlVTMB4XDTE4MDUyMTEwNDUxMFoX"
                "DTQ5MTIzMTIzNTk1OVowaDEaMBgGA1UEAwwRSW50ZWwgU0dYIFJvb3QgQ0ExGjAYBgNVBAoMEUlu"
                "dGVsIENvcnBvcmF0aW9uMRQwEgYDVQQHDAtTYW50YSBDbGFyYTELMAkGA1UECAwCQ0ExCzAJBgNV"
                "BAYTAlVTMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEC6nEwMDIYZOj/iPWsCzaEKi71OiOSLRF"
                "hWGjbnBVJfVnkY4u3IjkDYYL0MxO4mqsyYjlBalTVYxFP2sJBK5zlKOBuzCBuDAfBgNVHSMEGDAW"
                "gBQiZQzWWp00ifODtJVSv1AbOScGrDBSBgNVHR8ESzBJMEegRaBDhkFodHRwczovL2NlcnRpZmlj"
                "YXRlcy50cnVzdGVkc2VydmljZXMuaW50ZWwuY29tL0ludGVsU0dYUm9vdENBLmRlcjAdBgNVHQ4E"
                "FgQUImUM1lqdNInzg7SVUr9QGzknBqwwDgYDVR0PAQH/BAQDAgEGMBIGA1UdEwEB/wQIMAYBAf8C"
                "AQEwCgYIKoZIzj0EAwIDSQAwRgIhAOW/5QkR+S9CiSDcNoowLuPRLsWGf/Yi7GSX94BgwTwgAiEA"
                "4J0lrHoMs+Xo5o/sX6O9QWxHRAvZUGOdRQ7cvqRXaqI=";

const char *trust_anchor_intel_certificate(void) {
        return intel_root;
}

const TrustAnchors *trust_anchors_intel(void) {
        static const TrustAnchors intel = { intel_items, ELEMENTSOF(intel_items) };

        return &intel;
}

const TrustAnchor *trust_anchors_find(
                const TrustAnchors *anchors, const uint8_t fingerprint[static ANCHOR_FINGERPRINT_SIZE]) {
        FOREACH_ARRAY(a, anchors->items, anchors->n_items)
                if (memcmp(a->fingerprint, fingerprint, ANCHOR_FINGERPRINT_SIZE) == 0)
                        return a;
        return NULL;
}
