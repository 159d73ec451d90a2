/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn attest-domain`: see attest-domain.h. */

#include "attest-domain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "log.h"
#include "secret.h"
#include "strutil.h"

#define AT(member) offsetof(DomainArgs, member)

static const OptionRow rows[] = {
        { "connect", 'c', OPTION_REQUIRED, "URI", "Domain", "where libvirt is (qemu:///system)", NULL,
                        option_set_string, AT(connect), 0 },
        { "launch-id", 0, OPTION_REQUIRED, "ID", NULL,
                        "with --attestation-service, for a domain that was started with\na session of it",
                        NULL, option_set_string, AT(launch_id), 0 },
        { "on-refusal", 0, OPTION_REQUIRED, "WHAT", NULL,
                        "destroy (default for a domain started here) or keep it\npaused (default for "
                        "others)",
                        "destroy keep", option_set_string, AT(on_refusal), 0 },
        { "firmware", 'f', OPTION_REQUIRED, "FILE",
                        "What it must be made of, where its XML shall not say it", "the firmware image",
                        "@file", option_set_string, AT(firmware), 0 },
        { "kernel", 'k', OPTION_REQUIRED, "FILE", NULL, "the kernel", "@file", option_set_string, AT(kernel),
                        0 },
        { "initrd", 'r', OPTION_REQUIRED, "FILE", NULL, "the initrd", "@file", option_set_string, AT(initrd),
                        0 },
        { "cmdline", 'e', OPTION_REQUIRED, "WORDS", NULL, "the kernel command line", NULL, option_set_string,
                        AT(cmdline), 0 },
        { "num-cpus", 'n', OPTION_REQUIRED, "N", NULL, "vCPUs, with SEV-ES", NULL, option_set_string,
                        AT(vcpus), 0 },
        { "cpu", 0, OPTION_REQUIRED, "MODEL", NULL, "CPU model as QEMU names it, with SEV-ES", NULL,
                        option_set_string, AT(cpu), 0 },
        { "expect", 0, OPTION_REQUIRED, "DIGEST", NULL,
                        "the launch digest, in place of all of these; repeatable", NULL, option_append,
                        AT(expect), 0 },
        { "policy", 'p', OPTION_REQUIRED, "NUMBER", NULL, "the launch policy; without it the XML's", NULL,
                        option_set_string, AT(policy), 0 },
        { "allow-debug", 0, OPTION_NONE, NULL, NULL, "take a policy that lets the host read the guest", NULL,
                        option_set_true, AT(allow_debug), 0 },
        DESK_ROWS,
        VERB_HELP_ROWS(DomainArgs, common),
};

static const OptionTable table = {
        .program = "cvmspawn attest-domain",
        .arguments = "DOMAIN",
        .summary = "Starts a libvirt domain paused, has its owner check the launch measurement, injects the "
                   "secrets and "
                   "lets it run.",
        .zone = "verifier",
        .epilog = "Exit status: 0 it runs, 1 usage or failure, 2 not authentic, 3 not what the owner wants, "
                  "4 a "
                  "certificate is missing.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

static void arguments_done(DomainArgs *a) {
        desk_args_done(&a->desk);
        free(a->connect);
        free(a->launch_id);
        free(a->on_refusal);
        free(a->policy);
        strv_free(a->expect);
        free(a->firmware);
        free(a->kernel);
        free(a->initrd);
        free(a->cmdline);
        free(a->vcpus);
        free(a->cpu);
}

static void notice(_unused_ void *userdata, const char *sentence) {
        log_notice("%s", sentence);
}

static int open_attestor(DomainArgs *a, const Domain *d, Attestor **ret, char **reterr) {
        const AttestorPatience patience = { .notice = notice };
        int r = 0;

        if (a->desk.owner_dir && !a->desk.name)
                r = d->info.active
                                ? domain_session_name(a->desk.owner_dir, d->session, &a->desk.name, reterr)
                                : domain_new_name(d, &a->desk.name);
        return r < 0 ? r : desk_attestor_new(&a->desk, &patience, ret, reterr);
}

/* A session for this start, and the start. */
static int start(Attestor *attestor, Domain *d, const char *xml, AttestorOutcome *o, char **reterr) {
        _cleanup_(attestor_session_done) AttestorSession session = {};
        _cleanup_(libvirt_platform_done) LibvirtPlatform p = {};
        int r;

        r = libvirt_platform(d->connection, &p, reterr);
        if (r >= 0)
                r = attestor_launch(attestor,
                                &(AttestorLaunch) {
                                                .scheme = d->es ? "amd-sev-es" : "amd-sev",
                                                .has_policy = true,
                                                .policy = d->policy,
                                                .pdh = p.pdh,
                                                .cert_chain = p.cert_chain,
                                                .cpu_id = p.cpu0_id,
                                },
                                &session, o, reterr);
        if (r < 0 || o->verdict != VERDICT_AUTHENTIC)
                return r;
        return domain_start(d, xml, &session, reterr);
}

/* The owner's word on what runs, as yet, nothing. */
static int judge(const DomainArgs *a, Attestor *attestor, Domain *d, AttestorPacket *ret, AttestorOutcome *o,
                char **reterr) {
        _cleanup_free_ uint8_t(*digests)[SEV_DIGEST_SIZE] = NULL;
        _cleanup_free_ char *xml = NULL;
        AttestorClaim claim = {};
        int r;

        /* of the domain as it is: libvirt has chosen what the configuration left open */
        r = domain_configuration(a, d, &xml, reterr);
        if (r >= 0)
                r = domain_claim(d, &claim, reterr);
        if (r >= 0 && a->desk.owner_dir)
                r = domain_predict(a, d, xml, &digests, &claim.n_expect, reterr);
        if (r < 0)
                return r;
        claim.expect = digests;
        claim.launch_id = a->launch_id;
        return attestor_validate(attestor, &claim, ret, o, reterr);
}

static int deliver(Domain *d, const AttestorPacket *packet, char **reterr) {
        int r = 0;

        if (packet->header)
                r = libvirt_domain_inject(d->domain, packet->header, packet->payload,
                                packet->has_gpa ? &packet->gpa : NULL, reterr);
        return r < 0 ? r : libvirt_domain_resume(d->domain, reterr);
}

/* A guest that its owner does not want never runs. */
static void stop(const DomainArgs *a, Domain *d) {
        bool destroy = a->on_refusal ? streq(a->on_refusal, "destroy") : d->started;
        _cleanup_free_ char *error = NULL;

        if (!d->started && !d->info.active)
                return;
        if (!destroy)
                log_warning("'%s' stays paused", d->info.name);
        else if (libvirt_domain_destroy(d->domain, &error) < 0)
                log_error("'%s' cannot be destroyed, and stays paused: %s", d->info.name, error ?: "");
        else
                log_warning("'%s' was destroyed", d->info.name);
}

static int attest(DomainArgs *a, Domain *d, AttestorOutcome *o, char **reterr) {
        _cleanup_(attestor_packet_done) AttestorPacket packet = {};
        _cleanup_attestor_ Attestor *attestor = NULL;
        _cleanup_free_ char *xml = NULL;
        int r;

        r = domain_configuration(a, d, &xml, reterr);
        if (r >= 0)
                r = open_attestor(a, d, &attestor, reterr);
        if (r < 0)
                return r;
        if (d->local && a->desk.owner_dir)
                log_warning("the owner's keys are on the host that runs the guest: a host cannot vouch for "
                            "itself");
        if (!d->info.active) {
                r = start(attestor, d, xml, o, reterr);
                if (r < 0 || o->verdict != VERDICT_AUTHENTIC)
                        return r;
                attestor_outcome_done(o);
        }
        r = judge(a, attestor, d, &packet, o, reterr);
        if (r < 0 || o->verdict != VERDICT_AUTHENTIC)
                return r;
        r = deliver(d, &packet, reterr);
        if (r >= 0)
                (void) printf("'%s' runs: measured as its owner expects%s\n", d->info.name,
                                packet.header ? ", and given its secrets" : "");
        return r;
}

static int check_usage(const DomainArgs *a, char *const *words, char **reterr) {
        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "expected one DOMAIN: a name, UUID or number");
        if (a->on_refusal && !streq(a->on_refusal, "destroy") && !streq(a->on_refusal, "keep"))
                return error_set(reterr, -EINVAL, "--on-refusal: expected destroy or keep, not '%s'",
                                a->on_refusal);
        if (a->launch_id && !a->desk.service)
                return error_set(reterr, -EINVAL, "--launch-id goes with --attestation-service");
        if (a->desk.service &&
                        (a->expect || a->firmware || a->kernel || a->initrd || a->cmdline || a->vcpus ||
                                        a->cpu))
                return error_set(reterr, -EINVAL,
                                "a service knows itself what the guest must be made of: --expect, "
                                "--firmware and "
                                "so on go with --owner-dir");
        if ((a->initrd || a->cmdline) && !a->kernel && !a->expect)
                return error_set(reterr, -EINVAL, "--initrd and --cmdline go with --kernel");
        return 0;
}

static int run(int argc, char **argv, char **reterr) {
        _cleanup_(attestor_outcome_done) AttestorOutcome o = {};
        _cleanup_(arguments_done) DomainArgs a = {};
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_(domain_done) Domain d = {};
        Verdict verdict;
        int r;

        secret_forbid_core();
        desk_args_init(&a.desk);
        r = verb_parse(&table, argc, argv, &a, &a.common, &words, reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        r = check_usage(&a, words, reterr);
        if (r >= 0)
                r = domain_open(&a, words[0], &d, reterr);
        if (r < 0)
                return r;
        r = attest(&a, &d, &o, reterr);
        verdict = r == -EPERM ? VERDICT_POLICY_NOT_MET : r < 0 ? VERDICT_UNVERIFIED : o.verdict;
        if (r >= 0 && o.verdict != VERDICT_AUTHENTIC)
                r = error_set(reterr, -EKEYREJECTED, "refused: %s",
                                o.reason ?: verdict_to_string(o.verdict));
        if (r >= 0)
                return 0;
        stop(&a, &d);
        return verb_failed(verdict_exit_status(verdict), r, reterr);
}

int main(int argc, char **argv) {
        return verb_main(&table, argc, argv, run);
}
