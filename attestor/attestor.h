/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The guest owner's side of one launch, wherever it is decided: at a desk (keys and secrets of our own) or by an attestation service. Whoever
 * drives a virtual machine monitor (the launcher's child, attest-qemu, attest-domain) brings the facts and takes the answers:
 *
 *      attestor_launch()    the platform's certificates in, session and owner's certificate out: before the guest is made
 *      attestor_validate()  query-sev and the measurement in, the packet for LAUNCH_SECRET out: while it is paused
 *
 * Both say in an AttestorOutcome whether the owner agrees. Errors are something else: then nothing was decided, and the guest must not run
 * either. What the packet holds is of use to one platform's secure processor only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-launch.h"
#include "attest-secret.h"
#include "attest-verdict.h"
#include "macro.h"
#include "sev-cert.h"

#define ATTESTOR_MEASUREMENT_SIZE                                                                           \
        (SEV_MEASURE_SIZE + SEV_NONCE_SIZE) /* what query-sev-launch-measure gives */
#define ATTESTOR_EXPECT_MAX 256u            /* digests that one claim is tried with */
#define ATTESTOR_SECRET_AREA                                                                                \
        3072u /* what the firmware has for secrets if nobody says: edk2 OvmfPkg, AmdSevX64 */

typedef struct AttestorOutcome {
        Verdict verdict; /* VERDICT_AUTHENTIC: the owner agrees; all else: refused */
        char *code;   /* owned: a word for programs, as the service's problems have; NULL unless refused */
        char *reason; /* owned: a sentence; NULL unless refused */
} AttestorOutcome;

void attestor_outcome_done(AttestorOutcome *o);
/* Refuses: always 0, or -ENOMEM. */
_warn_unused_result_ int attestor_refuse(AttestorOutcome *o, Verdict verdict, const char *code,
                const char *format, ...) _printf_(4, 5);

/* What the host tells of itself and of what it is about to start. Texts are base64 as QMP query-sev-capabilities gives them; borrowed. */
typedef struct AttestorLaunch {
        const char *scheme; /* "amd-sev", "amd-sev-es" */
        bool has_policy;
        uint32_t policy;        /* what the host means to start with; else the owner says */
        const char *pdh;        /* one certificate */
        const char *cert_chain; /* PEK, OCA, CEK, or more */
        const char *cpu_id;     /* cpu0-id; NULL: not known */
        bool has_secret_area;
        uint64_t secret_area; /* bytes that the firmware has for secrets; 0: none */
} AttestorLaunch;

typedef struct AttestorSession {
        char *launch_id; /* owned; NULL: the backend needs none */
        char *session;   /* owned: base64, QEMU's session-file */
        char *dh_cert;   /* owned: base64, QEMU's dh-cert-file */
        uint32_t policy; /* what the session is bound to */
} AttestorSession;

void attestor_session_done(AttestorSession *s);

/* What the paused guest's secure processor said. */
typedef struct AttestorClaim {
        const char *launch_id; /* borrowed; NULL: that of attestor_launch(), or none */
        unsigned api_major, api_minor, build_id;
        bool has_policy;
        uint32_t policy; /* of query-sev: must be the session's */
        uint8_t measurement[ATTESTOR_MEASUREMENT_SIZE];
        /* The launch digests that this may be the measurement of. The desk needs one; a service has its own. */
        uint8_t (*expect)[SEV_DIGEST_SIZE]; /* borrowed */
        size_t n_expect;
} AttestorClaim;

typedef struct AttestorPacket {
        char *header, *payload; /* owned: base64, for sev-inject-launch-secret; NULL: nothing to inject */
        bool has_gpa;
        uint64_t gpa; /* else the firmware's secret area */
} AttestorPacket;

void attestor_packet_done(AttestorPacket *p);

/* How long waits are spent, and who is told. */
typedef struct AttestorPatience {
        /* One sentence, before a wait. NULL: nobody. */
        void (*notice)(void *userdata, const char *sentence);
        /* 0 after so many milliseconds, -ECANCELED if whoever asked is gone. NULL: just waits. */
        int (*pause)(void *userdata, unsigned milliseconds);
        void *userdata;
} AttestorPatience;

typedef struct Attestor Attestor;

Attestor *attestor_free(Attestor *a); /* erases what it holds; takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(Attestor *, attestor_free);
#define _cleanup_attestor_ _cleanup_(attestor_freep)

/* Once each, in this order; validate alone is fine for a guest whose session was made before. *ret is set only if the outcome is
 * VERDICT_AUTHENTIC. */
_warn_unused_result_ int attestor_launch(Attestor *a, const AttestorLaunch *in, AttestorSession *ret,
                AttestorOutcome *ret_outcome, char **reterr);
_warn_unused_result_ int attestor_validate(Attestor *a, const AttestorClaim *in, AttestorPacket *ret,
                AttestorOutcome *ret_outcome, char **reterr);

/* --- the desk: keys in a folder ---------------------------------------------------------------------------------------- */

typedef struct AttestorDesk {
        const char *folder; /* made if it is missing, 0700 */
        const char *name; /* NAME_tik.bin, NAME_tek.bin, NAME_godh.b64, NAME_session.b64, as `session` writes them */
        char *const *secrets; /* ALIAS-OR-GUID:FILE each; read at once, into locked memory */
        /* Is the platform whose PDH this is authentic? Sets *ret_pdh if so, else refuses. Certificates come as in AttestorLaunch. */
        int (*check)(void *userdata, const AttestorLaunch *in, SevCert *ret_pdh,
                        AttestorOutcome *ret_outcome, char **reterr);
        void *userdata;
} AttestorDesk;

/* Everything is borrowed until it returns, but userdata and check. */
_warn_unused_result_ int attestor_desk_new(const AttestorDesk *desk, Attestor **ret, char **reterr);

/* --- an attestation service -------------------------------------------------------------------------------------------- */

#define ATTESTOR_WAIT_SECONDS 900u /* a launch is open that long at cvmspawn-attestd */

typedef struct AttestorService {
        const char *url;       /* https://HOST[:PORT][/PREFIX]/vm/ID */
        const char *ca_file;   /* NULL: the system's authorities */
        unsigned wait_seconds; /* for a launch that is held for confirmation; 0: not at all */
        /* May make a longer certificate chain of the host's, with AMD's signatures: *ret is owned, NULL: as it is. NULL: nobody can. */
        int (*complete)(void *userdata, const AttestorLaunch *in, char **ret, char **reterr);
        void *userdata;
        AttestorPatience patience;
} AttestorService;

/* url and ca_file are copied. -EINVAL: not such a URL. */
_warn_unused_result_ int attestor_service_new(const AttestorService *service, Attestor **ret, char **reterr);
