/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The guest owner's side of one launch, decided locally (keys and secrets in a folder) or by an attestation service. The program
 * that drives a virtual machine monitor (the launcher's child, attest-qemu, attest-domain) brings the facts and takes the answers:
 *
 *      owner_launch()    the platform's certificates in, session and owner's certificate out: before the guest is made
 *      owner_validate()  query-sev and the measurement in, the packet for LAUNCH_SECRET out: while it is paused
 *
 * Both say in an OwnerOutcome whether the owner agrees. Errors are something else: then nothing was decided, and the guest must not run
 * either. What the packet holds is of use to one platform's secure processor only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-launch.h"
#include "attest-secret.h"
#include "attest-verdict.h"
#include "macro.h"
#include "sev-cert.h"

#define OWNER_MEASUREMENT_SIZE (SEV_MEASURE_SIZE + SEV_NONCE_SIZE) /* what query-sev-launch-measure gives */
#define OWNER_EXPECT_MAX       256u                                /* digests that one claim is tried with */
#define OWNER_SECRET_AREA                                                                                   \
        3072u /* what the firmware has for secrets if nobody says: edk2 OvmfPkg, AmdSevX64 */

typedef struct OwnerOutcome {
        Verdict verdict; /* VERDICT_AUTHENTIC: the owner agrees; all else: refused */
        char *code;   /* owned: a word for programs, as the service's problems have; NULL unless refused */
        char *reason; /* owned: a sentence; NULL unless refused */
} OwnerOutcome;

void owner_outcome_done(OwnerOutcome *o);
/* Refuses: always 0, or -ENOMEM. */
_warn_unused_result_ int owner_refuse(
                OwnerOutcome *o, Verdict verdict, const char *code, const char *format, ...) _printf_(4, 5);

/* What the host tells of itself and of what it is about to start. Texts are base64 as QMP query-sev-capabilities gives them; borrowed. */
typedef struct OwnerLaunch {
        const char *scheme; /* "amd-sev", "amd-sev-es" */
        bool has_policy;
        uint32_t policy;        /* what the host means to start with; else the owner says */
        const char *pdh;        /* one certificate */
        const char *cert_chain; /* PEK, OCA, CEK, or more */
        const char *cpu_id;     /* cpu0-id; NULL: not known */
        bool has_secret_area;
        uint64_t secret_area; /* bytes that the firmware has for secrets; 0: none */
} OwnerLaunch;

typedef struct OwnerSession {
        char *launch_id; /* owned; NULL: the backend needs none */
        char *session;   /* owned: base64, QEMU's session-file */
        char *dh_cert;   /* owned: base64, QEMU's dh-cert-file */
        uint32_t policy; /* what the session is bound to */
} OwnerSession;

void owner_session_done(OwnerSession *s);

/* What the paused guest's secure processor said. */
typedef struct OwnerClaim {
        const char *launch_id; /* borrowed; NULL: that of owner_launch(), or none */
        unsigned api_major, api_minor, build_id;
        bool has_policy;
        uint32_t policy; /* of query-sev: must be the session's */
        uint8_t measurement[OWNER_MEASUREMENT_SIZE];
        /* The launch digests that this may be the measurement of. A folder of keys needs one; a service has its own. */
        uint8_t (*expect)[SEV_DIGEST_SIZE]; /* borrowed */
        size_t n_expect;
} OwnerClaim;

typedef struct OwnerPacket {
        char *header, *payload; /* owned: base64, for sev-inject-launch-secret; NULL: nothing to inject */
        bool has_gpa;
        uint64_t gpa; /* else the firmware's secret area */
} OwnerPacket;

void owner_packet_done(OwnerPacket *p);

/* How long waits are spent, and who is told. */
typedef struct OwnerPatience {
        /* One sentence, before a wait. NULL: nobody. */
        void (*notice)(void *userdata, const char *sentence);
        /* 0 after so many milliseconds, -ECANCELED if the program that asked is gone. NULL: just waits. */
        int (*pause)(void *userdata, unsigned milliseconds);
        void *userdata;
} OwnerPatience;

typedef struct Owner Owner;

Owner *owner_free(Owner *a); /* erases what it holds; takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(Owner *, owner_free);
#define _cleanup_owner_ _cleanup_(owner_freep)

/* Once each, in this order; validate alone is fine for a guest whose session was made before. *ret is set only if the outcome is
 * VERDICT_AUTHENTIC. */
_warn_unused_result_ int owner_launch(Owner *a, const OwnerLaunch *in, OwnerSession *ret,
                OwnerOutcome *ret_outcome, char **reterr);
_warn_unused_result_ int owner_validate(
                Owner *a, const OwnerClaim *in, OwnerPacket *ret, OwnerOutcome *ret_outcome, char **reterr);

/* --- keys in a folder -------------------------------------------------------------------------------------------------- */

typedef struct OwnerKeys {
        const char *folder; /* made if it is missing, 0700 */
        const char *name; /* NAME_tik.bin, NAME_tek.bin, NAME_godh.b64, NAME_session.b64, as `session` writes them */
        char *const *secrets; /* ALIAS-OR-GUID:FILE each; read at once, into locked memory */
        /* Is the platform whose PDH this is authentic? Sets *ret_pdh if so, else refuses. Certificates come as in OwnerLaunch. */
        int (*check)(void *userdata, const OwnerLaunch *in, SevCert *ret_pdh, OwnerOutcome *ret_outcome,
                        char **reterr);
        void *userdata;
} OwnerKeys;

/* Everything is borrowed until it returns, but userdata and check. */
_warn_unused_result_ int owner_keys_new(const OwnerKeys *keys, Owner **ret, char **reterr);

/* --- an attestation service -------------------------------------------------------------------------------------------- */

#define OWNER_WAIT_SECONDS 900u /* a launch is open that long at cvmspawn-attestd */

typedef struct OwnerService {
        const char *url;       /* https://HOST[:PORT][/PREFIX]/vm/ID */
        const char *ca_file;   /* NULL: the system's authorities */
        unsigned wait_seconds; /* for a launch that is held for confirmation; 0: not at all */
        /* May make a longer certificate chain of the host's, with AMD's signatures: *ret is owned, NULL: as it is. NULL: nobody can. */
        int (*complete)(void *userdata, const OwnerLaunch *in, char **ret, char **reterr);
        void *userdata;
        OwnerPatience patience;
} OwnerService;

/* url and ca_file are copied. -EINVAL: not such a URL. */
_warn_unused_result_ int owner_service_new(const OwnerService *service, Owner **ret, char **reterr);
