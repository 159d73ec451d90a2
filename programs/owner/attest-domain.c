/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn attest-domain`: see attest-domain.h. */

#include "attest-domain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coco.h"
#include "error.h"
#include "log.h"
#include "secret.h"
#include "sev-cpu.h"
#include "strutil.h"

#define AT(member)   offsetof(DomainArgs, member)
#define TIMEOUT_USEC (UINT64_C(300) * 1000000)

static const OptionRow rows[] = {
        { "connect", 'c', OPTION_REQUIRED, "URI", "Domain",
                        "Connect to this libvirt (default: qemu:///system)", NULL, option_set_string,
                        AT(connect), 0 },
        { "timeout", 0, OPTION_REQUIRED, "TIME", NULL,
                        "Give up when libvirt does not answer a call for this long\n(default: 5min)", NULL,
                        option_set_usec, AT(timeout), 0 },
        { "launch-id", 0, OPTION_REQUIRED, "ID", NULL,
                        "Name the launch, with --attestation-service, for a domain that\nwas started with a session of the service",
                        NULL, option_set_string, AT(launch_id), 0 },
        { "on-refusal", 0, OPTION_REQUIRED, "WHAT", NULL,
                        "Choose what a refusal does: destroy (default for a domain\nstarted here) or keep it paused (default for others)",
                        "destroy keep", option_set_word, AT(on_refusal), 0 },
        { "firmware", 'f', OPTION_REQUIRED, "FILE", "Expected guest (default: as in the domain's XML)",
                        "Expect this firmware image", "@file", option_set_string, AT(firmware), 0 },
        { "kernel", 'k', OPTION_REQUIRED, "FILE", NULL, "Expect this kernel", "@file", option_set_string,
                        AT(kernel), 0 },
        { "initrd", 'r', OPTION_REQUIRED, "FILE", NULL, "Expect this initrd", "@file", option_set_string,
                        AT(initrd), 0 },
        { "cmdline", 'e', OPTION_REQUIRED, "WORDS", NULL, "Expect this kernel command line", NULL,
                        option_set_string, AT(cmdline), 0 },
        { "num-cpus", 'n', OPTION_REQUIRED, "N", NULL, "Expect this number of vCPUs, with SEV-ES", NULL,
                        option_set_string, AT(vcpus), 0 },
        { "cpu", 0, OPTION_REQUIRED, "MODEL", NULL, "Expect this CPU model, named as in QEMU, with SEV-ES",
                        SEV_CPU_NAMES, option_set_string, AT(cpu), 0 },
        { "expect", 0, OPTION_REQUIRED, "DIGEST", NULL,
                        "Expect this launch digest instead of all of these; repeatable", NULL, option_append,
                        AT(expect), 0 },
        { "policy", 'p', OPTION_REQUIRED, "NUMBER", NULL,
                        "Expect this launch policy (default: the one in the XML)", NULL, option_set_string,
                        AT(policy), 0 },
        { "allow-debug", 0, OPTION_NONE, NULL, NULL, "Accept a policy that lets the host read the guest",
                        NULL, option_set_true, AT(allow_debug), 0 },
        OWNER_ROWS,
        VERB_HELP_ROWS,
};

#define CONTENT "firmware kernel initrd cmdline num-cpus cpu "

static const OptionRule rules[] = {
        { "attestation-service", NULL, "expect " CONTENT, "a service knows what the guest must be made of" },
        { "launch-id", "attestation-service", NULL, NULL },
        { "expect", NULL, CONTENT, "the digest covers them" },
        { "initrd cmdline", "kernel", NULL, NULL },
        OWNER_RULES,
};

static const OptionTable table = {
        .program = "cvmspawn attest-domain",
        .arguments = "DOMAIN",
        .summary = "Start a libvirt domain paused, check the launch measurement for its owner, inject the secrets and let it run.",
        .zone = "verifier",
        .epilog = "Exit status: 0 it runs, 1 usage error or failure, 2 not authentic, 3 requirements not met, 4 a certificate is missing.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

static void notice(_unused_ void *userdata, const char *sentence) {
        log_notice("%s", sentence);
}

static int open_owner(DomainArgs *a, const Domain *d, Owner **ret, char **reterr) {
        const OwnerPatience patience = { .notice = notice };
        int r = 0;

        if (a->owner.owner_dir && !a->owner.name)
                r = d->info.active
                                ? domain_session_name(a->owner.owner_dir, d->session, &a->owner.name, reterr)
                                : domain_new_name(d, &a->owner.name);
        return r < 0 ? r : owner_args_open(&a->owner, &patience, ret, reterr);
}

/* A session for this start, and the start. */
static int start(Owner *owner, Domain *d, const char *xml, OwnerOutcome *o, char **reterr) {
        _cleanup_(owner_session_done) OwnerSession session = {};
        _cleanup_(libvirt_platform_done) LibvirtPlatform p = {};
        int r;

        r = libvirt_platform(d->connection, &p, reterr);
        if (r >= 0)
                r = owner_launch(owner,
                                &(OwnerLaunch) {
                                                .scheme = d->coco->scheme,
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
static int judge(const DomainArgs *a, Owner *owner, Domain *d, OwnerPacket *ret, OwnerOutcome *o,
                char **reterr) {
        _cleanup_free_ uint8_t(*digests)[SEV_DIGEST_SIZE] = NULL;
        _cleanup_free_ char *xml = NULL;
        OwnerClaim claim = {};
        int r;

        /* of the domain as it is: libvirt has chosen what the configuration left open */
        r = domain_configuration(a, d, &xml, reterr);
        if (r >= 0)
                r = domain_claim(d, &claim, reterr);
        if (r >= 0 && a->owner.owner_dir)
                r = domain_predict(a, d, xml, &digests, &claim.n_expect, reterr);
        if (r < 0)
                return r;
        claim.expect = digests;
        claim.launch_id = a->launch_id;
        return owner_validate(owner, &claim, ret, o, reterr);
}

static int deliver(Domain *d, const OwnerPacket *packet, char **reterr) {
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
                log_error("'%s' could not be destroyed and stays paused: %s", d->info.name, error ?: "");
        else
                log_warning("'%s' was destroyed", d->info.name);
}

static int attest(DomainArgs *a, Domain *d, OwnerOutcome *o, char **reterr) {
        _cleanup_(owner_packet_done) OwnerPacket packet = {};
        _cleanup_owner_ Owner *owner = NULL;
        _cleanup_free_ char *xml = NULL;
        int r;

        r = domain_configuration(a, d, &xml, reterr);
        if (r >= 0)
                r = open_owner(a, d, &owner, reterr);
        if (r < 0)
                return r;
        if (d->local && a->owner.owner_dir)
                log_warning("the owner's keys are on the host that runs the guest: a host cannot verify itself");
        if (!d->info.active) {
                r = start(owner, d, xml, o, reterr);
                if (r < 0 || o->verdict != VERDICT_AUTHENTIC)
                        return r;
                owner_outcome_done(o);
        }
        r = judge(a, owner, d, &packet, o, reterr);
        if (r < 0 || o->verdict != VERDICT_AUTHENTIC)
                return r;
        r = deliver(d, &packet, reterr);
        if (r >= 0)
                (void) printf("'%s' is running: its measurement is as expected%s\n", d->info.name,
                                packet.header ? ", and its secrets were injected" : "");
        return r;
}

static void attest_domain_init(void *arguments) {
        DomainArgs *a = arguments;

        owner_args_init(&a->owner);
        a->timeout = TIMEOUT_USEC;
}

static int attest_domain_run(void *arguments, char **words, char **reterr) {
        _cleanup_(owner_outcome_done) OwnerOutcome o = {};
        _cleanup_(domain_done) Domain d = {};
        DomainArgs *a = arguments;
        Verdict verdict;
        int r;

        secret_forbid_core();
        libvirt_set_limit(a->timeout, verdict_exit_status(VERDICT_UNVERIFIED));
        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "expected one DOMAIN: a name, UUID or number");
        r = domain_open(a, words[0], &d, reterr);
        if (r < 0)
                return r;
        r = attest(a, &d, &o, reterr);
        verdict = r == -EPERM ? VERDICT_POLICY_NOT_MET : r < 0 ? VERDICT_UNVERIFIED : o.verdict;
        if (r >= 0 && o.verdict != VERDICT_AUTHENTIC)
                r = error_set(reterr, -EKEYREJECTED, "refused: %s",
                                o.reason ?: verdict_to_string(o.verdict));
        if (r >= 0)
                return 0;
        stop(a, &d);
        return verb_failed(verdict_exit_status(verdict), r, reterr);
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(DomainArgs),
        .common = AT(common),
        .init = attest_domain_init,
        .run = attest_domain_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
