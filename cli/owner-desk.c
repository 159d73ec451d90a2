/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "owner-desk.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"

#define USEC_PER_SEC UINT64_C(1000000)
#define WAIT_MAX     (7 * 24 * 3600u) /* longer waits are no waits */

void desk_args_init(DeskArgs *a) {
        a->wait_usec = ATTESTOR_WAIT_SECONDS * USEC_PER_SEC;
}

void desk_args_done(DeskArgs *a) {
        platform_args_done(&a->platform);
        free(a->owner_dir);
        free(a->name);
        strv_free(a->secrets);
        free(a->service);
        free(a->ca);
}

static int load_chain(const DeskArgs *a, const AttestorLaunch *in, SevChain *ret, char **reterr) {
        int r = platform_load(&a->platform, (char *const[]) { NULL }, ret, reterr);

        if (r >= 0)
                r = sev_chain_add(ret, in->pdh, strlen(in->pdh), /* allow_unsigned_ark= */ false, reterr);
        if (r >= 0)
                r = sev_chain_add(ret, in->cert_chain, strlen(in->cert_chain), a->platform.unsigned_naples,
                                reterr);
        if (r >= 0 && !ret->has_pdh)
                r = error_set(reterr, -EBADMSG, "there is no PDH among the host's certificates");
        return r;
}

static int refuse_chain(const SevChainReport *report, AttestorOutcome *o) {
        const SevChainStep *s = sev_chain_report_problem(report);
        const char *code = report->verdict == VERDICT_NOT_AUTHENTIC ? "platform-not-authentic"
                        : report->verdict == VERDICT_POLICY_NOT_MET ? "platform-owner-not-accepted"
                                                                    : "collateral-missing";

        return attestor_refuse(o, report->verdict, code, "the platform is not verified: %s, %s: %s%s",
                        s ? s->subject : "chain", s ? s->check : "complete",
                        s && s->detail ? s->detail : verdict_to_string(report->verdict),
                        report->verdict == VERDICT_COLLATERAL_UNAVAILABLE
                                        ? " (--certs names a file with certificates, --online fetches them)"
                                        : "");
}

int desk_check_platform(void *userdata, const AttestorLaunch *in, SevCert *ret_pdh,
                AttestorOutcome *ret_outcome, char **reterr) {
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        _cleanup_free_ SevChain *chain = calloc(1, sizeof(SevChain));
        const DeskArgs *a = userdata;
        PlatformArgs platform = a->platform; /* borrows */
        int r;

        if (!chain)
                return -ENOMEM;
        r = load_chain(a, in, chain, reterr);
        if (r < 0)
                return r;
        if (!a->unverified) {
                if (!platform.cek_id)
                        platform.cek_id = (char *) in->cpu_id;
                r = platform_verify(&platform, chain, &report, reterr);
                if (r < 0)
                        return r;
                if (report.verdict != VERDICT_AUTHENTIC)
                        return refuse_chain(&report, ret_outcome);
        }
        *ret_pdh = chain->pdh;
        return 0;
}

/* What the files, the cache and AMD have beyond the host's own certificates goes to the service with them. */
static int complete_chain(void *userdata, const AttestorLaunch *in, char **ret, char **reterr) {
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        _cleanup_free_ SevChain *chain = calloc(1, sizeof(SevChain));
        const DeskArgs *a = userdata;
        PlatformArgs platform = a->platform; /* borrows */
        uint8_t raw[SEV_CHAIN_SIZE_MAX];
        ByteWriter w = byte_writer(raw, sizeof(raw));
        int r;

        if (!chain)
                return -ENOMEM;
        if (!a->platform.online && !a->platform.certs)
                return 0;
        r = load_chain(a, in, chain, reterr);
        if (r < 0)
                return r;
        if (!platform.cek_id)
                platform.cek_id = (char *) in->cpu_id;
        /* Whether it is authentic is for the service to say. */
        if (platform.online) {
                r = platform_verify(&platform, chain, &report, reterr);
                if (r < 0)
                        return r;
        }
        if (!chain->has_pek || !chain->has_oca || !chain->has_cek)
                return 0;
        byte_writer_put(&w, chain->pek.raw, SEV_CERT_SIZE);
        byte_writer_put(&w, chain->oca.raw, SEV_CERT_SIZE);
        byte_writer_put(&w, chain->cek.raw, SEV_CERT_SIZE);
        if (chain->has_ask && chain->has_ark) {
                byte_writer_put(&w, chain->ask.raw, chain->ask.raw_size);
                byte_writer_put(&w, chain->ark.raw, chain->ark.raw_size);
        }
        if (w.error < 0)
                return w.error;
        *ret = base64_encode(raw, w.pos);
        return *ret ? 0 : -ENOMEM;
}

static int check_args(const DeskArgs *a, char **reterr) {
        if (!a->owner_dir == !a->service)
                return error_set(reterr, -EINVAL,
                                "expected either --owner-dir=DIR or --attestation-service=URL");
        if (a->service && (a->secrets || a->unverified))
                return error_set(reterr, -EINVAL,
                                "--inject-secret and --insecure-unverified-platform go with --owner-dir: a "
                                "service has "
                                "its owner's secrets and policy");
        if (a->ca && !a->service)
                return error_set(reterr, -EINVAL, "--attestation-ca goes with --attestation-service");
        if (a->name && (!*a->name || strchr(a->name, '/')))
                return error_set(reterr, -EINVAL, "--name: '%s' cannot be the beginning of a file's name",
                                a->name);
        return 0;
}

int desk_attestor_new(const DeskArgs *a, const AttestorPatience *patience, Attestor **ret, char **reterr) {
        uint64_t seconds = a->wait_usec / USEC_PER_SEC;
        int r = check_args(a, reterr);

        if (r < 0)
                return r;
        if (a->service)
                return attestor_service_new(
                                &(const AttestorService) {
                                                .url = a->service,
                                                .ca_file = a->ca,
                                                .wait_seconds = seconds > WAIT_MAX ? WAIT_MAX
                                                                                   : (unsigned) seconds,
                                                .complete = complete_chain,
                                                .userdata = (void *) a,
                                                .patience = *patience,
                                },
                                ret, reterr);
        return attestor_desk_new(
                        &(const AttestorDesk) {
                                        .folder = a->owner_dir,
                                        .name = a->name ?: "vm",
                                        .secrets = a->secrets,
                                        .check = desk_check_platform,
                                        .userdata = (void *) a,
                        },
                        ret, reterr);
}
