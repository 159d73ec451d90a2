/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn-guest-attest: an SNP guest or a TD proves to its owner's attestation service what it is, and gets its secrets. What it says and hears goes
 * through the host, which can stop it and nothing else: the report names a key made here, the answer is signed by a key that the guest was
 * measured with. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coco.h"
#include "crypto-random.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "guest-attest-ask.h"
#include "guest-device.h"
#include "guest-drop.h"
#include "guest-port.h"
#include "json.h"
#include "log.h"
#include "options.h"
#include "snp-packet.h"
#include "stdout.h"
#include "strutil.h"

#define KEY_CREDENTIAL "cvmspawn.attest.service-key"
#define TIMEOUT_USEC   (UINT64_C(15) * 60 * 1000000)
#define LAUNCHES_MAX   3u                  /* a launch that the service has forgotten is begun again */
#define FOREVER_USEC   (UINT64_C(1) << 62) /* --timeout=infinity */
#define PORT_MSEC      100 /* until the port is looked for again: its driver comes when it comes */
#define KEY_FILE_MAX   1024u

typedef struct Arguments {
        char *service_key, *port, *interface, *credstore, *keys, *device, *tsm, *root;
        uint64_t timeout;
        bool help;
} Arguments;

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = {
        { "service-key", 0, OPTION_REQUIRED, "FILE", "Attestation",
                        "Believe answers with this key only: the service's packet-key in\nhexadecimal (default: the credential " KEY_CREDENTIAL
                        ")",
                        "@file", option_set_string, AT(service_key), 0 },
        { "port", 0, OPTION_REQUIRED, "NAME", NULL,
                        "Use this virtio port, or the path of a device or socket\n(default: " GUEST_PORT_ATTEST
                        ")",
                        NULL, option_set_string, AT(port), 0 },
        { "interface", 0, OPTION_REQUIRED, "NAME", NULL, "Use auto (default), tsm or ioctl",
                        "auto tsm ioctl", option_set_word, AT(interface), 0 },
        { "timeout", 0, OPTION_REQUIRED, "TIME", NULL, "Give up after this time (default: 15min)", NULL,
                        option_set_usec, AT(timeout), 0 },
        { "credstore", 0, OPTION_REQUIRED, "DIR", "Secrets",
                        "Put credentials there (default: " GUEST_CREDSTORE ")", "@dir", option_set_string,
                        AT(credstore), 0 },
        { "keys", 0, OPTION_REQUIRED, "DIR", NULL, "Put keys of volumes there (default: " GUEST_KEYS ")",
                        "@dir", option_set_string, AT(keys), 0 },
        { "help", 'h', OPTION_NONE, NULL, NULL, "Show this help", NULL, option_set_true, AT(help), 0 },
        { "device", 0, OPTION_REQUIRED, "PATH", "Tests", "Use this instead of " GUEST_DEVICE, "@file",
                        option_set_string, AT(device), 0 },
        { "tsm", 0, OPTION_REQUIRED, "DIR", NULL, "Use this instead of " GUEST_TSM, "@dir",
                        option_set_string, AT(tsm), 0 },
        { "root", 0, OPTION_REQUIRED, "DIR", NULL, "Put this in front of /dev and /sys, for the port",
                        "@dir", option_set_string, AT(root), 0 },
};

static const OptionTable table = {
        .program = "cvmspawn-guest-attest",
        .summary = "Get the guest's secrets from its owner's attestation service, by an attestation report.",
        .zone = "guest",
        .epilog = "Exit status: 0 the secrets were written; 1 usage error or failure; 2 the answer is not authentic;\n"
                  "3 the service refused this guest; 4 the service was not reached before the timeout.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

enum { STATUS_NOT_AUTHENTIC = 2, STATUS_REFUSED = 3, STATUS_UNREACHED = 4 };

typedef struct Attest {
        const Arguments *args;
        GuestPort port;
        EcKey *signer; /* owned */
        SecretBuf key; /* the private half of binding.key */
        SnpBinding binding;
        int status; /* of this program, once it is known */
} Attest;

static void attest_done(Attest *t) {
        guest_port_done(&t->port);
        ec_key_free(t->signer);
        secret_buf_done(&t->key);
}

static int load_signer(Attest *t, char **reterr) {
        const char *credentials = getenv("CREDENTIALS_DIRECTORY");
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t n;
        int r;

        if (!t->args->service_key && !credentials)
                return error_set(reterr, -EINVAL,
                                "without the service's key the host could send secrets of its choice: pass --service-key=FILE, or the credential " KEY_CREDENTIAL);
        if (t->args->service_key)
                path = strdup(t->args->service_key);
        else if (asprintf(&path, "%s/%s", credentials, KEY_CREDENTIAL) < 0)
                path = NULL;
        if (!path)
                return -ENOMEM;
        r = file_read_all(path, KEY_FILE_MAX, &text, &n);
        if (r < 0)
                return error_set(reterr, r, "cannot read the service's key from '%s': %s", path,
                                strerror(-r));
        text[strcspn(text, "\n")] = 0;
        r = snp_packet_signer_parse(text, &t->signer);
        return r < 0 ? error_set(reterr, r,
                                       "'%s': expected the packet-key that the service's GET / shows, %u hexadecimal digits",
                                       path, 2 * SNP_PACKET_SIGNER_SIZE)
                     : 0;
}

static void pause_msec(int msec) {
        (void) poll(NULL, 0, msec);
}

/* The port's driver may come after us, and somebody else may have it open. */
static int open_port(Attest *t, char **reterr) {
        const char *name = t->args->port ?: GUEST_PORT_ATTEST;
        uint64_t deadline = guest_port_now() + (t->args->timeout ?: FOREVER_USEC);

        for (;;) {
                _cleanup_free_ char *path = NULL;
                int r = 0;

                if (strchr(name, '/'))
                        path = strdup(name);
                else
                        r = guest_port_find(t->args->root ?: "", name, &path);
                if (r >= 0)
                        r = path ? guest_port_open(path, deadline, &t->port) : -ENOMEM;
                if (r >= 0)
                        return 0;
                if ((r != -ENOENT && r != -EBUSY) || guest_port_now() >= deadline) {
                        t->status = STATUS_UNREACHED;
                        return error_set(reterr, r,
                                        "cannot open the port %s: %s; the launcher gives one with --attestation-service=, and the kernel needs virtio_console",
                                        name, strerror(-r));
                }
                pause_msec(PORT_MSEC);
        }
}

static int ask(Attest *t, const char *verb, const Json *body, Json **ret, char **reterr) {
        int r = attest_ask(&t->port, verb, body, ret, reterr);

        if (r < 0 && r != -ENOMEM)
                t->status = STATUS_UNREACHED;
        return r;
}

static int refused(Attest *t, const char *verb, int status, const Json *answer, char **reterr) {
        _cleanup_free_ char *why = attest_detail(answer);

        t->status = STATUS_REFUSED;
        return error_set(reterr, -EACCES, "%s: the service refused, status %d: %s", verb, status, why ?: "");
}

static int take(const Json *j, const char *name, void *to, size_t size) {
        _cleanup_free_ uint8_t *data = NULL;
        size_t n = 0;
        int r;

        j = js_get(j, name);
        r = js_string_value(j) ? base64_decode(js_string_value(j), js_string_length(j), &data, &n)
                               : -EBADMSG;
        if (r == -ENOMEM)
                return r;
        if (r < 0 || n != size)
                return -EBADMSG;
        memcpy(to, data, n);
        return 0;
}

/* A nonce for a key of our own. What the guest is it says with its report, which names the interface that it came from. */
static int begin(Attest *t, char **reterr) {
        _cleanup_js_ Json *body = js_object(), *answer = NULL;
        const char *id;
        int r = body ? 0 : -ENOMEM;

        if (r >= 0)
                r = ask(t, "launch", body, &answer, reterr);
        if (r < 0)
                return r;
        if (r != 200)
                return refused(t, "launch", r, answer, reterr);
        id = js_string_value(js_get(answer, "launch-id"));
        r = id ? hex_decode_exact(id, t->binding.launch_id, sizeof(t->binding.launch_id)) : -EBADMSG;
        if (r >= 0)
                r = take(answer, "nonce", t->binding.nonce, sizeof(t->binding.nonce));
        if (r < 0)
                return error_set(reterr, r, "launch: the answer has no launch-id and nonce");
        secret_buf_done(&t->key);
        return hpke_key_new(crypto_random, NULL, &t->key, t->binding.key);
}

/* The driver of the report interface may come after us as well. */
static int get_report(Attest *t, const uint8_t data[static SNP_PACKET_DATA_SIZE], GuestReport *ret,
                char **reterr) {
        for (;;) {
                _cleanup_free_ char *why = NULL;
                int r = guest_report_get(t->args->interface, t->args->tsm ?: GUEST_TSM,
                                t->args->device ?: GUEST_DEVICE, data, GUEST_VMPL_ANY, ret, &why);

                if ((r != -ENOENT && r != -ENXIO) || guest_port_now() >= t->port.deadline)
                        return r < 0 ? error_set(reterr, r, "%s", why ?: strerror(-r)) : r;
                pause_msec(PORT_MSEC);
        }
}

/* A TD's quote, or else an SNP report, by the scheme that a registration for it has. */
static const char *scheme_of(const GuestReport *report) {
        static const struct {
                const char *interface;
                CocoMode mode;
        } interfaces[] = { { "tsm: tdx_guest", COCO_TDX }, { "tsm: sev_guest", COCO_SEV_SNP },
                { "ioctl", COCO_SEV_SNP } };

        FOREACH_ARRAY(row, interfaces, ELEMENTSOF(interfaces))
                if (streq(row->interface, report->interface))
                        return coco_of(row->mode)->scheme;
        return "";
}

static int make_evidence(Attest *t, Json **ret, char **reterr) {
        _cleanup_(guest_report_done) GuestReport report = {};
        _cleanup_js_ Json *j = NULL;
        uint8_t data[SNP_PACKET_DATA_SIZE];
        int r = snp_binding_report_data(&t->binding, data);

        if (r >= 0)
                r = get_report(t, data, &report, reterr);
        if (r >= 0)
                r = js_build(&j, "{s:s, s:o, s:o, s:o}", "scheme", scheme_of(&report), "launch-id",
                                js_hex(t->binding.launch_id, sizeof(t->binding.launch_id)), "public-key",
                                js_base64(t->binding.key, sizeof(t->binding.key)), "report",
                                js_base64(report.report, report.report_size));
        if (r >= 0 && report.certs)
                r = js_set(j, "certs", js_base64(report.certs, report.certs_size));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

static int open_secrets(Attest *t, const Json *answer, Json **ret, char **reterr) {
        const Json *sealed = js_get(answer, "secret-payload");
        _cleanup_(secret_buf_done) SecretBuf plain = {};
        _cleanup_(snp_packet_done) SnpPacket p = {};
        int r = take(answer, "secret-header", p.header, sizeof(p.header));

        if (r >= 0)
                r = take(answer, "signature", p.signature, sizeof(p.signature));
        if (r >= 0)
                r = js_string_value(sealed) ? base64_decode(js_string_value(sealed),
                                                              js_string_length(sealed), &p.payload, &p.size)
                                            : -EBADMSG;
        if (r == -EINVAL || r == -EBADMSG)
                r = error_set(reterr, -EKEYREJECTED, "the answer lacks header, payload or signature");
        if (r >= 0)
                r = snp_packet_open(&t->binding, t->signer, t->key.data, &p, &plain, reterr);
        if (r == -EKEYREJECTED)
                t->status = STATUS_NOT_AUTHENTIC;
        return r < 0 ? r : js_parse((const char *) plain.data, plain.size, ret, reterr);
}

/* From a nonce to the answer that holds the secrets. */
static int converse(Attest *t, Json **ret_answer, char **reterr) {
        for (unsigned i = 1;; i++) {
                _cleanup_js_ Json *evidence = NULL, *answer = NULL;
                int r = begin(t, reterr);

                if (r >= 0)
                        r = make_evidence(t, &evidence, reterr);
                if (r >= 0)
                        r = ask(t, "validate", evidence, &answer, reterr);
                if (r < 0)
                        return r;
                if (r == 200) {
                        *ret_answer = TAKE_PTR(answer);
                        return 0;
                }
                if ((r != 404 && r != 410) || i == LAUNCHES_MAX)
                        return refused(t, "validate", r, answer, reterr);
                log_notice("validate: the service does not know this launch any more; starting again");
        }
}

static int attest(Attest *t, char **reterr) {
        _cleanup_js_ Json *answer = NULL, *secrets = NULL;
        GuestDrop drop = { .credentials = t->args->credstore ?: GUEST_CREDSTORE,
                .keys = t->args->keys ?: GUEST_KEYS };
        int r = load_signer(t, reterr);

        if (r >= 0)
                r = open_port(t, reterr);
        if (r >= 0)
                r = converse(t, &answer, reterr);
        if (r >= 0)
                r = open_secrets(t, answer, &secrets, reterr);
        if (r >= 0)
                r = guest_drop(&drop, secrets, reterr);
        if (r < 0)
                return r;
        log_notice("attested; %zu credentials and %zu keys of volumes were written", drop.n_credentials,
                        drop.n_keys);
        return 0;
}

static int guest_attest_run(int argc, char **argv, Arguments *a, int *ret_status, char **reterr) {
        _cleanup_(attest_done) Attest t = { .args = a, .port.fd = -EBADF, .status = 1 };
        _cleanup_strv_free_ char **words = NULL;
        int r = options_parse(&table, argc, argv, a, &words, reterr);

        if (r < 0)
                return r;
        if (a->help) {
                options_help(&table, stdout);
                return 0;
        }
        if (words)
                return error_set(reterr, -EINVAL, "unexpected argument '%s'", words[0]);
        r = attest(&t, reterr);
        *ret_status = t.status;
        return r;
}

int main(int argc, char **argv) {
        Arguments a = { .timeout = TIMEOUT_USEC };
        _cleanup_free_ char *error = NULL;
        int status = 1, r;

        secret_forbid_core();
        log_open("cvmspawn-guest-attest", /* quiet= */ false);
        js_erase_memory();
        r = stdout_open();
        if (r < 0)
                return log_failure(r, "cannot open /dev/null"), 1;
        if (!options_dump_requested(&table, argc, argv))
                r = guest_attest_run(argc, argv, &a, &status, &error);
        options_free(&table, &a);
        r = stdout_finish(r, &error);
        if (r < 0) {
                log_failure(r, error);
                return status != 0 ? status : 1;
        }
        return 0;
}
