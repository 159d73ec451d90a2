/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* QEMU's SEV commands: base64 members decoded into typed structures, whose sizes are checked. This room carries the bytes; what they mean is
 * judged where the guest's owner trusts the machine.
 *
 * Spec: QEMU 10.0 qapi/misc-i386.json; sizes from AMD 55766 (SEV API) 3.24: SEV_CERT 0x824 bytes (Appendix C), LAUNCH_MEASURE
 * HMAC-SHA-256 and MNONCE (6.5), GET_ID 64 bytes (5.15), packet header 52 bytes (LAUNCH_SECRET, 6.6). */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "macro.h"
#include "qmp-client.h"
#include "secret.h"

#define QMP_SEV_CERT_SIZE          0x824u /* PDH, and each of PEK, OCA, CEK in the chain */
#define QMP_SEV_CHAIN_SIZE         ((size_t) 3 * QMP_SEV_CERT_SIZE)
#define QMP_SEV_MEASUREMENT_SIZE   32u
#define QMP_SEV_MNONCE_SIZE        16u
#define QMP_SEV_CPU_ID_SIZE        64u
#define QMP_SEV_PACKET_HEADER_SIZE 52u
#define QMP_SEV_PACKET_MAX         ((size_t) 16 * 1024) /* firmware takes no longer secret in one LAUNCH_SECRET */

typedef enum QmpSevState {
        QMP_SEV_UNINIT,
        QMP_SEV_LAUNCH_UPDATE,
        QMP_SEV_LAUNCH_SECRET, /* SEV, SEV-ES: measured, a secret may be injected */
        QMP_SEV_RUNNING,
        QMP_SEV_SEND_UPDATE,
        QMP_SEV_RECEIVE_UPDATE,
        _QMP_SEV_STATE_MAX,
        _QMP_SEV_STATE_INVALID = -EINVAL,
} QmpSevState;

const char *qmp_sev_state_to_string(QmpSevState s);

/* query-sev */
typedef struct QmpSev {
        bool enabled; /* false: QEMU runs without SEV, and the rest is zero */
        bool snp;
        unsigned api_major, api_minor, build_id;
        QmpSevState state;
        uint64_t policy; /* SEV and SEV-ES: 32 bits; SNP: 64 */
        uint64_t handle; /* SEV and SEV-ES */
} QmpSev;

/* query-sev-launch-measure: what LAUNCH_MEASURE returned. */
typedef struct QmpSevMeasurement {
        uint8_t measurement[QMP_SEV_MEASUREMENT_SIZE];
        uint8_t mnonce[QMP_SEV_MNONCE_SIZE];
} QmpSevMeasurement;

/* query-sev-capabilities: the host's, needs accel=kvm but no guest. */
typedef struct QmpSevCapabilities {
        uint8_t pdh[QMP_SEV_CERT_SIZE];
        uint8_t cert_chain[QMP_SEV_CHAIN_SIZE]; /* PEK, OCA, CEK */
        uint8_t cpu0_id[QMP_SEV_CPU_ID_SIZE];
        unsigned cbitpos, reduced_phys_bits;
} QmpSevCapabilities;

/* Pure: the value of the return. -EBADMSG with an error message. */
_warn_unused_result_ int qmp_sev_parse(const Json *value, QmpSev *ret, char **reterr);
_warn_unused_result_ int qmp_sev_measurement_parse(const Json *value, QmpSevMeasurement *ret, char **reterr);
_warn_unused_result_ int qmp_sev_capabilities_parse(
                const Json *value, QmpSevCapabilities *ret, char **reterr);

_warn_unused_result_ int qmp_query_sev_wait(QmpClient *c, uint64_t timeout_usec, QmpSev *ret, char **reterr);
_warn_unused_result_ int qmp_query_sev_launch_measure_wait(
                QmpClient *c, uint64_t timeout_usec, QmpSevMeasurement *ret, char **reterr);
_warn_unused_result_ int qmp_query_sev_capabilities_wait(
                QmpClient *c, uint64_t timeout_usec, QmpSevCapabilities *ret, char **reterr);

/* header: QMP_SEV_PACKET_HEADER_SIZE bytes, secret: 16 bytes to QMP_SEV_PACKET_MAX. The secret is encrypted for the
 * firmware by the guest's owner already; all the same what is sent is erased after it (the JSON library's own copy is the
 * exception). gpa: NULL lets QEMU take the firmware's secret area. */
_warn_unused_result_ int qmp_sev_inject_launch_secret_wait(QmpClient *c, const SecretBuf *header,
                const SecretBuf *secret, const uint64_t *gpa, uint64_t timeout_usec, char **reterr);
