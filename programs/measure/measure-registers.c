/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* RTMR0 to RTMR2 of a TD, predicted or replayed from a guest's event log; and where both differ first. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "input.h"
#include "json.h"
#include "log.h"
#include "measure-cli.h"
#include "measure-disk.h"
#include "measure-report.h"
#include "measure-rtmr.h"
#include "strutil.h"

typedef uint8_t Registers[TDX_RTMRS][SHA384_SIZE];

bool registers_wanted(const CliArguments *a) {
        return a->measure.memory || a->from_ccel;
}

static int boot_of(const CliArguments *a, const MeasureContext *c, RtmrBoot *ret, char **reterr) {
        RtmrBoot b = { .firmware = &c->firmware,
                .plan = &c->request->plan,
                .fw_cfg = a->measure.fw_cfg,
                .bios = a->measure.bios };
        int r;

        /* Of a launch that a launcher describes what can be predicted is: without tables all but RTMR0. */
        if (!b.fw_cfg && coco_of(b.plan->mode)->event_log && (b.plan->tdx.edk2 || a->other_launcher))
                b.registers = 6u;
        if (!a->measure.memory || !a->measure.edk2 || (!b.fw_cfg && !b.registers) ||
                        (!b.plan->kernel.present && !a->measure.disk))
                return error_set(reterr, -EINVAL,
                                "RTMR0 to RTMR2 need --memory, --edk2, --fw-cfg and --kernel or --disk; without all of them only MRTD is predicted");
        r = parse_size(a->measure.memory, &b.ram);
        if (r < 0)
                return error_set(reterr, r, "--memory: expected a size such as 2G, not '%s'",
                                a->measure.memory);
        r = edk2_profile_from_string(a->measure.edk2, &b.edk2, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--edk2");
        *ret = b;
        return 0;
}

/* --- output ----------------------------------------------------------------------------------------------------------- */

static int print_events(const RtmrEvents *e) {
        FOREACH_ARRAY(i, e->items, e->n_items) {
                _cleanup_free_ char *hex = hex_encode(i->digest, SHA384_SIZE);

                if (!hex)
                        return -ENOMEM;
                if (printf("rtmr%u %s %s\n", i->rtmr, hex, i->name) < 0)
                        return -EIO;
        }
        return 0;
}

static int print_registers_text(const LaunchDigest *mrtd, const Registers registers, unsigned which) {
        if (mrtd) {
                _cleanup_free_ char *hex = hex_encode(mrtd->bytes, mrtd->size);

                if (!hex)
                        return -ENOMEM;
                if (printf("mrtd %s\n", hex) < 0)
                        return -EIO;
        }
        for (unsigned i = 0; i < TDX_RTMRS; i++) {
                _cleanup_free_ char *hex =
                                which & 1u << i ? hex_encode(registers[i], SHA384_SIZE) : strdup("");

                if (hex && !*hex)
                        continue;

                if (!hex)
                        return -ENOMEM;
                if (printf("rtmr%u %s\n", i, hex) < 0)
                        return -EIO;
        }
        return 0;
}

static int events_json(const RtmrEvents *e, Json **ret) {
        _cleanup_js_ Json *events = js_array();
        int r = events ? 0 : -ENOMEM;

        FOREACH_ARRAY(i, e->items, r < 0 ? 0 : e->n_items) {
                Json *item = NULL;

                r = js_build(&item, "{s:I, s:I, s:s, s:o}", "rtmr", (long long) i->rtmr, "type",
                                (long long) i->type, "name", i->name, "digest",
                                js_hex(i->digest, SHA384_SIZE));
                if (r >= 0)
                        r = js_append(events, item);
                if (r < 0)
                        return r;
        }
        if (r >= 0)
                *ret = TAKE_PTR(events);
        return r;
}

/* What measure says of any launch, so that a bundle can be made of it, with the registers and their events. */
static int report_of(const MeasureContext *c, const LaunchDigest *mrtd, Json **ret, char **reterr) {
        LaunchSpec spec;

        if (!c)
                return js_build(ret, "{s:s}", "mode", "tdx");
        measure_context_spec(c, c->request->vcpus[0], c->request->cpus, &spec);
        return measure_report(c, &spec, c->request->cpus, mrtd, NULL, ret, reterr);
}

typedef struct Shown {
        const MeasureContext *context; /* NULL: of a log */
        const LaunchDigest *mrtd;      /* NULL: of a log */
        const RtmrEvents *events;
        unsigned which; /* a bit for each register */
} Shown;

static int print_registers_json(
                const CliArguments *a, const Shown *s, const Registers registers, char **reterr) {
        _cleanup_js_ Json *j = NULL, *values = js_object(), *events = NULL;
        int r = values ? 0 : -ENOMEM;

        if (r >= 0 && s->mrtd)
                r = js_set(values, "mrtd", js_hex(s->mrtd->bytes, s->mrtd->size));
        for (unsigned i = 0; r >= 0 && i < TDX_RTMRS; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "rtmr%u", i);
                if (s->which & 1u << i)
                        r = js_set(values, name, js_hex(registers[i], SHA384_SIZE));
        }
        if (r >= 0)
                r = events_json(s->events, &events);
        if (r >= 0)
                r = report_of(s->context, s->mrtd, &j, reterr);
        if (r >= 0)
                r = js_set(j, "registers", js_ref(values));
        if (r >= 0 && s->mrtd)
                r = js_set(j, "host-credentials", js_string(rtmr_host_credentials(s->events)));
        if (r >= 0)
                r = js_set(j, "events", js_ref(events));
        return r < 0 ? r : verb_print_json(j, a->common.style);
}

/* Predicted registers end at RTMR2; a log may have events for all. */
static int show(const CliArguments *a, const Shown *s, char **reterr) {
        Registers registers;
        int r = rtmr_replay(s->events, registers);

        if (r < 0)
                return r;
        if (a->common.json)
                return print_registers_json(a, s, registers, reterr);
        if (a->explain || !s->mrtd)
                r = print_events(s->events);
        return r < 0 ? r : print_registers_text(s->mrtd, registers, s->which);
}

/* --- a log ------------------------------------------------------------------------------------------------------------ */

static int load_log(const char *path, RtmrEvents *ret, char **reterr) {
        _cleanup_(tdx_log_done) TdxLog log = {};
        _cleanup_free_ char *bytes = NULL;
        size_t size;
        int r = input_read("from-ccel", path, TDX_LOG_SIZE_MAX, &bytes, &size, reterr);

        if (r < 0)
                return r;
        r = tdx_log_parse((const uint8_t *) bytes, size, &log, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--from-ccel: '%s'", path);
        return rtmr_events_from_log(&log, ret);
}

int measure_log(const CliArguments *a, char **reterr) {
        _cleanup_(rtmr_events_done) RtmrEvents logged = {};
        int r = load_log(a->from_ccel, &logged, reterr);

        return r < 0 ? r : show(a, &(Shown) { .events = &logged, .which = (1u << TDX_RTMRS) - 1 }, reterr);
}

static int print_side(const char *who, const RtmrEvent *e) {
        _cleanup_free_ char *hex = e ? hex_encode(e->digest, SHA384_SIZE) : NULL;

        if (e && !hex)
                return -ENOMEM;
        return (e ? printf("  %s %s %s\n", who, hex, e->name) : printf("  %s no such event\n", who)) < 0
                        ? -EIO
                        : 0;
}

/* --- why -------------------------------------------------------------------------------------------------------------- */

/* What people get wrong: the sizes of memory that machines have. */
static const uint64_t memories[] = { 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 10240, 12288, 16384,
        20480, 24576, 32768, 49152, 65536, 131072, 262144 };
static const unsigned releases[] = { 202302, 202305, 202311, 202408, 202411, 202502, 202505, 202508, 202602,
        202608 };

typedef struct Wanted {
        unsigned rtmr;
        const uint8_t *event; /* the digest of this event of that register... */
        size_t position;
        const uint8_t *value; /* ...or the register itself */
} Wanted;

static bool fits(const RtmrBoot *boot, const Wanted *w) {
        _cleanup_(rtmr_events_done) RtmrEvents e = {};
        Registers registers;
        size_t nth = w->position;

        if (rtmr_predict(boot, &e, NULL) < 0 || rtmr_replay(&e, registers) < 0)
                return false;
        if (w->value)
                return memcmp(registers[w->rtmr], w->value, SHA384_SIZE) == 0;
        FOREACH_ARRAY(i, e.items, e.n_items)
                if (i->rtmr == w->rtmr && nth-- == 0)
                        return memcmp(i->digest, w->event, SHA384_SIZE) == 0;
        return false;
}

/* One change that gives what is wanted, in words and as an option. */
static int explain(const RtmrBoot *base, const Wanted *w) {
        RtmrBoot b = *base;

        b.registers = 1u << w->rtmr;
        for (size_t i = 0; i < ELEMENTSOF(memories) && w->rtmr == 0; i++) {
                b.ram = memories[i] << 20;
                if (b.ram != base->ram && fits(&b, w))
                        return printf("that is what %" PRIu64 " MiB of memory give instead of %" PRIu64
                                      ": --memory=%" PRIu64 "M\n",
                                               memories[i], base->ram >> 20, memories[i]) < 0
                                        ? -EIO
                                        : 0;
        }
        b.ram = base->ram;
        for (size_t i = 0; i < 2 * ELEMENTSOF(releases); i++) {
                b.edk2 = (Edk2Profile) { releases[i / 2], i % 2 };
                if (fits(&b, w))
                        return printf("that is what another firmware gives: --edk2=%u-%s\n", b.edk2.release,
                                               b.edk2.secure_boot ? "inteltdx" : "ovmfx64") < 0
                                        ? -EIO
                                        : 0;
        }
        return 0;
}

static int compare(const CliArguments *a, const RtmrBoot *boot, const RtmrEvents *predicted, char **reterr) {
        _cleanup_(rtmr_events_done) RtmrEvents logged = {};
        RtmrDifference d;
        int r = load_log(a->from_ccel, &logged, reterr);

        if (r < 0)
                return r;
        if (!rtmr_compare(predicted, &logged, &d))
                return puts("equal: all events of the log are as predicted") < 0 ? -EIO : 0;
        if (printf("different: rtmr%u, event %zu: %s\n", d.rtmr, d.position + 1,
                            (d.predicted ?: d.logged)->name) < 0)
                return -EIO;
        r = print_side("predicted:", d.predicted);
        if (r >= 0)
                r = print_side("logged:   ", d.logged);
        if (r >= 0 && d.logged)
                r = explain(boot,
                                &(Wanted) { .rtmr = d.rtmr,
                                                .event = d.logged->digest,
                                                .position = d.position });
        return r < 0 ? r : MEASURE_DIFFERENT;
}

/* --expect=rtmr0:HEX, or mrtd:HEX */
static int expect(const CliArguments *a, const RtmrBoot *boot, const LaunchDigest *mrtd,
                const RtmrEvents *predicted, char **reterr) {
        static const char *const names[] = { "rtmr0:", "rtmr1:", "rtmr2:" };
        uint8_t expected[SHA384_SIZE];
        const uint8_t *computed = mrtd->bytes;
        const char *text = startswith(a->expect, "mrtd:");
        _cleanup_free_ char *hex = NULL;
        Registers registers;
        unsigned rtmr = 0;
        int r = rtmr_replay(predicted, registers);

        for (unsigned i = 0; r >= 0 && !text && i < ELEMENTSOF(names); i++)
                if ((text = startswith(a->expect, names[i]))) {
                        rtmr = i;
                        computed = registers[i];
                }
        if (r >= 0 && !text)
                r = error_set(reterr, -EINVAL,
                                "--expect: expected mrtd:, rtmr0:, rtmr1: or rtmr2: and a digest, not '%s'",
                                a->expect);
        if (r >= 0 && computed != mrtd->bytes && boot->registers && !(boot->registers & 1u << rtmr))
                r = error_set(reterr, -EINVAL, "--expect: rtmr%u is not predicted without --fw-cfg=", rtmr);
        if (r >= 0)
                r = bytes_from_text(text, expected, sizeof(expected), reterr);
        if (r < 0)
                return r;
        hex = hex_encode(computed, SHA384_SIZE);
        if (!hex)
                return -ENOMEM;
        if (memcmp(expected, computed, SHA384_SIZE) == 0)
                return printf("equal: %s\n", hex) < 0 ? -EIO : 0;
        if (printf("different: computed %s\n", hex) < 0)
                return -EIO;
        if (computed != mrtd->bytes) {
                r = explain(boot, &(Wanted) { .rtmr = rtmr, .value = expected });
                if (r < 0)
                        return r;
        }
        return MEASURE_DIFFERENT;
}

/* The firmware boots a disk: its loader stands where a directly booted kernel does. */
typedef struct DiskBoot {
        TdDisk files;
        LaunchPlan plan; /* a copy that owns nothing */
        RtmrDisk disk;
} DiskBoot;

static void disk_boot_done(DiskBoot *d) {
        td_disk_done(&d->files);
}

static int take_disk(const CliArguments *a, RtmrBoot *boot, DiskBoot *d, char **reterr) {
        int r = td_disk_read(a->measure.disk, &d->files, reterr);

        if (r < 0)
                return r;
        d->plan = *boot->plan;
        d->plan.kernel = d->files.loader;
        d->disk = (RtmrDisk) { d->files.table, d->files.size, a->disk_read_only };
        boot->plan = &d->plan;
        boot->disk = &d->disk;
        return 0;
}

static void notice(const RtmrBoot *boot, const RtmrEvents *predicted) {
        if (predicted->imports)
                log_notice("the kernel command line has no systemd.import_credentials=no: a host can add credentials to such a TD, and no register shows it");
        else if (predicted->in_rtmr0 && boot->registers && !(boot->registers & 1u))
                log_notice("the kernel command line has no systemd.import_credentials=no: a host can add credentials to such a TD, and only RTMR0 shows it, which needs --fw-cfg=");
        if (boot->disk)
                log_notice("the boot variables in RTMR0 are those of a TD with this one disk and no other device that the firmware could boot");
}

int print_registers(const CliArguments *a, const MeasureContext *c, char **reterr) {
        _cleanup_(rtmr_events_done) RtmrEvents predicted = {};
        _cleanup_(disk_boot_done) DiskBoot disk = { .files = TD_DISK_NONE };
        LaunchDigest mrtd;
        LaunchSpec spec;
        RtmrBoot boot;
        int r;

        r = boot_of(a, c, &boot, reterr);
        if (r >= 0 && a->measure.disk)
                r = take_disk(a, &boot, &disk, reterr);
        if (r >= 0)
                r = rtmr_predict(&boot, &predicted, reterr);
        if (r < 0)
                return r;
        notice(&boot, &predicted);
        measure_context_spec(c, c->request->vcpus[0], c->request->cpus, &spec);
        r = measure_context_digest(c, &spec, NULL, NULL, &mrtd, reterr);
        if (r < 0)
                return r;
        if (a->expect)
                return expect(a, &boot, &mrtd, &predicted, reterr);
        return a->from_ccel ? compare(a, &boot, &predicted, reterr)
                            : show(a,
                                              &(Shown) { .context = c,
                                                              .mrtd = &mrtd,
                                                              .events = &predicted,
                                                              .which = boot.registers ?: 7u },
                                              reterr);
}
