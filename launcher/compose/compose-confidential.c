/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The object that makes the guest confidential, for each vendor: QEMU docs/system/i386/amd-memory-encryption.rst, tdx.rst,
 * qapi/qom.json. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compose-parts.h"
#include "config-tdx.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"

/* Where systemd-vmspawn and Intel's package look for the service that signs quotes: its socket, else the host by vsock. */
#define QUOTE_CID  2
#define QUOTE_PORT 4050

static_assert(LAUNCH_FD_TABLE == 115, "add_table() names it in a path");

/* The loader device copies it there at every reset. */
static void add_table(Composer *c) {
        compose_build(c, "-device", "{s:s, s:s, s:I, s:b}", "driver", "loader", "file", "/proc/self/fd/115",
                        "addr", (long long) c->inputs->table_gpa, "force-raw", true);
}

static int set_text(Json *j, const char *key, const char *value) {
        return value ? js_set(j, key, js_string(value)) : 0;
}

/* --- AMD --------------------------------------------------------------------------------------------------------------- */

static int add_snp(const Composer *c, Json *j) {
        const LaunchInputs *in = c->inputs;
        int r = set_text(j, "host-data", in->host_data);

        if (r >= 0)
                r = set_text(j, "id-block", in->id_block);
        if (r >= 0)
                r = set_text(j, "id-auth", in->id_auth);
        if (r >= 0 && in->author_key)
                r = js_set(j, "author-key-enabled", js_bool(true));
        if (r >= 0 && !c->config->vcek)
                r = js_set(j, "vcek-disabled", js_bool(true));
        return r;
}

static int add_sev(const Composer *c, Json *j) {
        int r = js_set(j, "legacy-vm-type", js_string(c->inputs->plan.sev.legacy_vm_type ? "on" : "off"));

        if (r >= 0)
                r = set_text(j, "dh-cert-file", c->inputs->dh_cert);
        if (r >= 0)
                r = set_text(j, "session-file", c->inputs->session);
        return r;
}

static int add_amd(const Composer *c, const Coco *coco, Json *j) {
        const LaunchPlan *plan = &c->inputs->plan;
        int r = js_set(j, "cbitpos", js_u64(c->caps->sev.cbitpos));

        if (r >= 0)
                r = js_set(j, "reduced-phys-bits", js_u64(c->caps->sev.reduced_phys_bits));
        if (r >= 0)
                r = js_set(j, "policy", js_u64(plan->policy));
        if (r >= 0)
                r = js_set(j, "kernel-hashes", js_bool(plan->sev.kernel_hashes));
        if (r >= 0)
                r = coco->id_block ? add_snp(c, j) : 0;
        if (r >= 0 && coco->launch_session)
                r = add_sev(c, j);
        return r;
}

/* Nobody encrypts the table of hashes into place, but the firmware checks kernel, initrd and words against it as it would under SEV. */
static void simulate_amd(Composer *c) {
        if (c->inputs->plan.sev.kernel_hashes)
                add_table(c);
}

static int check_amd(const Composer *c, const Coco *coco, char **reterr) {
        if (c->caps->sev.cbitpos == 0)
                return error_set(reterr, -EOPNOTSUPP,
                                "this CPU does not support memory encryption (CPUID 0x8000001f), so --coco=%s cannot run here: add --simulate to boot the same files without it, or pass --host-caps=FILE to print the command line for another host",
                                coco->name);
        if (!c->caps->has[c->config->coco])
                return error_set(reterr, -EOPNOTSUPP,
                                "this CPU supports memory encryption, but not %s (CPUID 0x8000001f), so --coco=%s cannot run here: use a machine that has it, or add --simulate",
                                coco->label, coco->name);
        return 0;
}

/* --- Intel ------------------------------------------------------------------------------------------------------------- */

/* The place of the service as QEMU's SocketAddress: QEMU connects for each quote, so it may be missing until then. */
static int add_quote_socket(const Composer *c, Json *j) {
        const char *given = c->config->quote_socket;
        const char *where = given && !streq(given, "auto") ? given : c->caps->quote_socket;
        uint32_t cid = QUOTE_CID, port = QUOTE_PORT;
        Json *socket = NULL;
        char cid_text[16], port_text[16];
        int r;

        if (where && streq(where, "no"))
                return 0;
        r = where ? vm_config_quote_vsock(where, &cid, &port) : 1;
        if (r < 0)
                return r;
        (void) snprintf(cid_text, sizeof(cid_text), "%" PRIu32, cid);
        (void) snprintf(port_text, sizeof(port_text), "%" PRIu32, port);
        r = r == 0 ? js_build(&socket, "{s:s, s:s}", "type", "unix", "path", where)
                   : js_build(&socket, "{s:s, s:s, s:s}", "type", "vsock", "cid", cid_text, "port",
                                     port_text);
        return r < 0 ? r : js_set(j, "quote-generation-socket", socket);
}

static int add_intel(const Composer *c, const Coco *coco, Json *j) {
        const LaunchInputs *in = c->inputs;
        int r = js_set(j, "attributes", js_u64(in->plan.policy));

        (void) coco;
        if (r >= 0)
                r = set_text(j, "mrconfigid", in->mrconfigid);
        if (r >= 0)
                r = set_text(j, "mrowner", in->mrowner);
        if (r >= 0)
                r = set_text(j, "mrownerconfig", in->mrownerconfig);
        return r < 0 ? r : add_quote_socket(c, j);
}

static void add_value(Composer *c, char **arguments, const char *name, const char *base64) {
        _cleanup_free_ uint8_t *bytes = NULL;
        _cleanup_free_ char *hex = NULL, *before = NULL;
        size_t size;

        if (!base64)
                return;
        before = TAKE_PTR(*arguments);
        if (base64_decode(base64, strlen(base64), &bytes, &size) < 0 || !(hex = hex_encode(bytes, size)) ||
                        asprintf(arguments, "%s,%s=%s", before, name, hex) < 0) {
                *arguments = NULL;
                c->error = c->error ?: -ENOMEM;
        }
}

/* A plug-in of TCG plays the TDX module (cvmspawn-sevsim(1)). The list of memory comes from a file, as nobody writes it before the launch. */
static void simulate_intel(Composer *c) {
        const LaunchInputs *in = c->inputs;
        const char *where = c->config->quote_socket;
        const bool quotes = where && *where == '/';
        _cleanup_free_ char *arguments = NULL;

        add_table(c);
        if (asprintf(&arguments, "/proc/self/fd/%d,hob=0x%" PRIx64 ",attributes=0x%" PRIx64 "%s%s%s%s",
                            LAUNCH_FD_TD_MODULE, in->table_gpa, in->plan.policy, in->digest ? ",mrtd=" : "",
                            in->digest ?: "", quotes ? ",quote=" : "", quotes ? where : "") < 0) {
                arguments = NULL;
                c->error = c->error ?: -ENOMEM;
                return;
        }
        add_value(c, &arguments, "mrconfigid", in->mrconfigid);
        if (arguments)
                add_value(c, &arguments, "mrowner", in->mrowner);
        if (arguments)
                add_value(c, &arguments, "mrownerconfig", in->mrownerconfig);
        if (arguments)
                compose_add(c, "-plugin", arguments, NULL);
}

static int check_intel(const Composer *c, const Coco *coco, char **reterr) {
        if (c->caps->has[c->config->coco])
                return 0;
        return error_set(reterr, -EOPNOTSUPP,
                        "KVM of this host does not launch %s guests, so --coco=%s cannot run here: 'cvmspawn check-host --coco=%s' says what is missing; pass --host-caps=FILE to print the command line for another host",
                        coco->label, coco->name, coco->name);
}

const ComposeVendor *compose_vendor(const Coco *coco) {
        static const ComposeVendor vendors[] = {
                [COCO_VENDOR_NONE] = {},
                [COCO_VENDOR_AMD] = { add_amd, check_amd, simulate_amd, "", "max" },
                /* ACPI tables of a TD say that there is no PIC; 46 bits are what edk2 uses without page tables of five levels. */
                [COCO_VENDOR_INTEL] = { add_intel, check_intel, simulate_intel, ",pic=off",
                                "max,vendor=GenuineIntel,level=0x21,phys-bits=46" },
        };

        return vendors + coco->host.vendor;
}
