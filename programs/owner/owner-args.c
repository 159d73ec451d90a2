/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "owner-args.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"

#define USEC_PER_SEC UINT64_C(1000000)
#define CA_FILE_MAX  (1024u * 1024)
#define WAIT_MAX     (7 * 24 * 3600u) /* longer waits are no waits */

void owner_args_init(OwnerArgs *a) {
        a->wait_usec = OWNER_WAIT_SECONDS * USEC_PER_SEC;
}

static int load_chain(const OwnerArgs *a, const OwnerLaunch *in, SevChain *ret, char **reterr) {
        int r = platform_load(&a->platform, (char *const[]) { NULL }, ret, reterr);

        if (r >= 0)
                r = sev_chain_add(ret, in->pdh, strlen(in->pdh), /* allow_unsigned_ark= */ false, reterr);
        if (r >= 0)
                r = sev_chain_add(ret, in->cert_chain, strlen(in->cert_chain), a->platform.unsigned_naples,
                                reterr);
        if (r >= 0 && !ret->has_pdh)
                r = error_set(reterr, -EBADMSG, "the host's certificates contain no PDH");
        return r;
}

static int refuse_chain(const SevChainReport *report, OwnerOutcome *o) {
        const SevChainStep *s = sev_chain_report_problem(report);
        const char *code = report->verdict == VERDICT_NOT_AUTHENTIC ? "platform-not-authentic"
                        : report->verdict == VERDICT_POLICY_NOT_MET ? "platform-owner-not-accepted"
                                                                    : "collateral-missing";

        return owner_refuse(o, report->verdict, code, "the platform is not verified: %s, %s: %s%s",
                        s ? s->subject : "chain", s ? s->check : "complete",
                        s && s->detail ? s->detail : verdict_to_string(report->verdict),
                        report->verdict == VERDICT_COLLATERAL_UNAVAILABLE
                                        ? " (pass certificates with --certs, or download them with --online)"
                                        : "");
}

int owner_check_platform(void *userdata, const OwnerLaunch *in, SevCert *ret_pdh, OwnerOutcome *ret_outcome,
                char **reterr) {
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        _cleanup_free_ SevChain *chain = calloc(1, sizeof(SevChain));
        const OwnerArgs *a = userdata;
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
static int complete_chain(void *userdata, const OwnerLaunch *in, char **ret, char **reterr) {
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        _cleanup_free_ SevChain *chain = calloc(1, sizeof(SevChain));
        const OwnerArgs *a = userdata;
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

/* libcurl would say less of it, and later. */
static int check_authorities(const char *path, char **reterr) {
        _cleanup_free_ char *data = NULL;
        int r = path ? file_read_all(path, CA_FILE_MAX, &data, NULL) : 0;

        return r < 0 && r != -E2BIG
                        ? error_set(reterr, r, "--attestation-ca: cannot read '%s': %s", path, strerror(-r))
                        : 0;
}

static int check_args(const OwnerArgs *a, char **reterr) {
        if (!a->owner_dir == !a->service)
                return error_set(reterr, -EINVAL,
                                "expected either --owner-dir=DIR or --attestation-service=URL");
        if (a->name && (!*a->name || strchr(a->name, '/')))
                return error_set(reterr, -EINVAL, "--name: '%s' cannot be the prefix of a file name",
                                a->name);
        return check_authorities(a->ca, reterr);
}

int owner_args_open(const OwnerArgs *a, const OwnerPatience *patience, Owner **ret, char **reterr) {
        uint64_t seconds = a->wait_usec / USEC_PER_SEC;
        int r = check_args(a, reterr);

        if (r < 0)
                return r;
        if (a->service)
                return owner_service_new(
                                &(const OwnerService) {
                                                .url = a->service,
                                                .ca_file = a->ca,
                                                .wait_seconds = seconds > WAIT_MAX ? WAIT_MAX
                                                                                   : (unsigned) seconds,
                                                .complete = complete_chain,
                                                .userdata = (void *) a,
                                                .patience = *patience,
                                },
                                ret, reterr);
        return owner_keys_new(
                        &(const OwnerKeys) {
                                        .folder = a->owner_dir,
                                        .name = a->name ?: "vm",
                                        .secrets = a->secrets,
                                        .check = owner_check_platform,
                                        .userdata = (void *) a,
                        },
                        ret, reterr);
}
