/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command to run after --expect: the same one with options that give the expected digest, or where there are no such options the
 * same launch in the dialect of sev-snp-measure, with hashes in place of what is not a file. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "config.h"
#include "encode.h"
#include "measure-cli.h"
#include "measure-expect.h"
#include "sev-cpu.h"
#include "strutil.h"

static void put_quoted(Text *t, const char *s) {
        if (s[0] &&
                        strspn(s,
                                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./"
                                        ":,+@%") == strlen(s)) {
                text_put(t, s);
                return;
        }
        text_put(t, "'");
        for (; *s; s++)
                if (*s == '\'')
                        text_put(t, "'\\''");
                else
                        text_put_n(t, s, 1);
        text_put(t, "'");
}

/* --- the same command with other options --------------------------------------------------------------------------------- */

char *next_option(char *const *argv, const char *option) {
        static const struct {
                const char *ours, *theirs;
        } names[] = {
                { "--vcpus=", "--cpus=" },
                { "--ovmf=", "--firmware=" },
        };
        const char *value, *name;
        unsigned signature;
        char *s;

        if (!option || !coco_requested(argv))
                return option ? strdup(option) : NULL;
        value = startswith(option, "--vcpu-sig=");
        if (value) {
                name = parse_unsigned(value, &signature) >= 0 ? sev_cpu_name(signature) : NULL;
                return name && asprintf(&s, "--cpu=%s", name) >= 0 ? s : NULL;
        }
        FOREACH_ARRAY(n, names, ELEMENTSOF(names)) {
                value = startswith(option, n->ours);
                if (value)
                        return asprintf(&s, "%s%s", n->theirs, value) < 0 ? NULL : s;
        }
        /* The launcher has no kernel that is not measured, and adds to words and initrd. */
        if (startswith(option, "--append=") || startswith(option, "--kernel=") ||
                        startswith(option, "--initrd="))
                return NULL;
        return strdup(option);
}

/* Options of the search are quoted for a shell, but for the paths of firmware. */
static void put_option(Text *t, const char *option) {
        text_put(t, " ");
        if (startswith(option, "--ovmf=") || startswith(option, "--firmware="))
                put_quoted(t, option);
        else
                text_put(t, option);
}

/* All of argv but --expect, which is compared already, and but --json where something else is to be shown. */
static int kept_arguments(char *const *argv, bool json, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;
        int r = strv_push(&l, argv[0]);

        for (size_t i = 1; r >= 0 && argv[i]; i++) {
                if (startswith(argv[i], "--exp") && !startswith(argv[i], "--expl")) {
                        if (!strchr(argv[i], '=') && argv[i + 1])
                                i++;
                        continue;
                }
                if (json || !startswith(argv[i], "--js"))
                        r = strv_push(&l, argv[i]);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

/* How many of the launcher's arguments at the end belong to the kernel command line. */
static size_t count_words(char **launcher) {
        _cleanup_(vm_config_done) VmConfig config = {};
        size_t n = strv_length(launcher), words;

        vm_config_init(&config);
        if (vm_config_parse(&config, (int) n, launcher, NULL) < 0)
                return 0;
        words = strv_length(config.cmdline);
        return words < n ? words : 0;
}

/* Options after the others, which they override. The launcher's words come after all options. */
static int same_command(char *const *argv, char *const *options, size_t n, char **ret) {
        _cleanup_strv_free_ char **kept = NULL, **own = NULL, **launcher = NULL;
        _cleanup_(text_done) Text t = {};
        char **list;
        size_t n_list;
        int r = kept_arguments(argv, n == 0 || !streq(options[0], "--explain"), &kept);

        if (r >= 0 && coco_requested(argv))
                r = coco_split(kept, &own, &launcher);
        if (r < 0)
                return r;
        list = launcher ?: kept;
        n_list = strv_length(list) - (launcher ? count_words(launcher) : 0);
        text_put(&t, "cvmspawn measure");
        for (size_t i = 1; own && own[i]; i++) {
                text_put(&t, " ");
                put_quoted(&t, own[i]);
        }
        for (size_t i = 1; i < n_list; i++)
                if (!launcher || !streq(list[i], "--")) {
                        text_put(&t, " ");
                        put_quoted(&t, list[i]);
                }
        for (size_t i = 0; i < n; i++)
                put_option(&t, options[i]);
        if (launcher && list[n_list])
                text_put(&t, " --");
        STRV_FOREACH(w, list + n_list) {
                text_put(&t, " ");
                put_quoted(&t, *w);
        }
        return text_finish(&t, ret);
}

/* --- the launch itself --------------------------------------------------------------------------------------------------- */

/* The path of an input that is one whole file; NULL: it is not. */
static const char *whole_file(const PlanInput *in) {
        const PlanPart *p = in->n_parts == 1 ? in->parts : NULL;
        struct stat open, named;

        if (!p || p->fd < 0 || !p->label || p->offset != 0 || fstat(p->fd, &open) < 0 ||
                        stat(p->label, &named) < 0 || open.st_dev != named.st_dev ||
                        open.st_ino != named.st_ino || (uint64_t) open.st_size != p->length)
                return NULL;
        return p->label;
}

static void put_path(Text *t, const char *option, const char *path) {
        text_putf(t, " %s", option);
        put_quoted(t, path);
}

static int put_hash(Text *t, const char *option, const uint8_t sha256[static SHA256_SIZE]) {
        _cleanup_free_ char *hex = hex_encode(sha256, SHA256_SIZE);

        if (!hex)
                return -ENOMEM;
        text_putf(t, " %s%s", option, hex);
        return 0;
}

static const char *option_of(const ExpectAnswer *a, const char *prefix) {
        for (size_t i = 0; i < a->n_changes; i++)
                if (a->options[i] && startswith(a->options[i], prefix))
                        return a->options[i];
        return NULL;
}

static int put_words(Text *t, const MeasureContext *c, const ExpectAnswer *a, const KernelHashes *computed) {
        const char *changed = option_of(a, "--append=");
        _cleanup_free_ char *words = NULL, *option = NULL;
        int r;

        if (changed) {
                text_putf(t, " %s", changed);
                return 0;
        }
        if (memcmp(a->spec.hashes.cmdline, computed->cmdline, SHA256_SIZE) != 0)
                return put_hash(t, "--cmdline-hash=", a->spec.hashes.cmdline);
        r = change_words(c, &words);
        if (r < 0)
                return r;
        if (!words)
                return put_hash(t, "--cmdline-hash=", computed->cmdline);
        if (!words[0])
                return 0;
        option = change_append_option(words);
        if (!option)
                return -ENOMEM;
        text_putf(t, " %s", option);
        return 0;
}

static int put_boot(Text *t, const MeasureContext *c, const ExpectAnswer *a) {
        const MeasureRequest *q = c->request;
        const char *kernel = q->has_kernel_hash ? NULL : whole_file(&q->plan.kernel);
        bool other_initrd = memcmp(a->spec.hashes.initrd, c->hashes.initrd, SHA256_SIZE) != 0;
        const char *initrd = q->has_initrd_hash || other_initrd ? NULL : whole_file(&q->plan.initrd);
        uint8_t nothing[SHA256_SIZE];
        int r = hash_digest(HASH_SHA256, "", 0, nothing);

        if (r < 0 || !a->spec.kernel_hashes)
                return r;
        if (kernel)
                put_path(t, "--kernel=", kernel);
        else
                r = put_hash(t, "--kernel-hash=", a->spec.hashes.kernel);
        if (initrd)
                put_path(t, "--initrd=", initrd);
        else if (r >= 0 && memcmp(a->spec.hashes.initrd, nothing, sizeof(nothing)) != 0)
                r = put_hash(t, "--initrd-hash=", a->spec.hashes.initrd);
        return r < 0 ? r : put_words(t, c, a, &c->hashes);
}

/* 1, or 0 if the firmware is not a file. */
static int launch_command(const MeasureContext *c, const ExpectAnswer *a, char **ret) {
        const MeasureRequest *q = c->request;
        const LaunchSpec *s = &a->spec;
        const char *firmware = option_of(a, "--ovmf=");
        _cleanup_(text_done) Text t = {};
        int r;

        if (firmware)
                firmware = strchr(firmware, '=') + 1;
        else if (!q->has_ovmf_hash && !q->ovmf_metadata)
                firmware = whole_file(&q->plan.firmware);
        if (!firmware || q->mode == MEASURE_SVSM)
                return 0;
        text_putf(&t, "cvmspawn measure --mode=%s", measure_mode_to_string(q->mode));
        put_path(&t, "--ovmf=", firmware);
        if (s->mode != COCO_SEV)
                text_putf(&t, " --vcpus=%u --vcpu-sig=0x%x", s->vcpus, s->signature);
        if (s->mode != COCO_SEV && s->profile != VMM_QEMU)
                text_putf(&t, " --vmsa=%s", vmm_profile_to_string(s->profile));
        if (s->mode == COCO_SEV_SNP && s->features != 1)
                text_putf(&t, " --guest-features=0x%llx", (unsigned long long) s->features);
        if (s->mode == COCO_SEV_ES && s->features != 0)
                text_putf(&t, " --es-features=0x%llx", (unsigned long long) s->features);
        r = put_boot(&t, c, a);
        if (r >= 0)
                r = text_finish(&t, ret);
        return r < 0 ? r : 1;
}

/* --- which of them ------------------------------------------------------------------------------------------------------- */

/* Whether an option on the command line stands against the one that is to be added. */
static bool excluded(const CliArguments *a, const char *o) {
        const MeasureArguments *m = &a->measure;
        bool hashes = m->kernel_hash || m->initrd_hash || m->cmdline_hash,
             firmware = m->ovmf_hash || m->ovmf_metadata;

        return a->from_vmspawn || (m->vcpu_family && startswith(o, "--vcpu-sig=")) ||
                        (firmware && startswith(o, "--ovmf=")) ||
                        (hashes &&
                                        (startswith(o, "--kernel=") || startswith(o, "--initrd=") ||
                                                        startswith(o, "--append=")));
}

/* 1, or 0 if a change has no option or one that does not go with the others. */
static int options_command(
                const CliArguments *a, char *const *argv, const ExpectAnswer *answer, char **ret) {
        _cleanup_strv_free_ char **options = NULL;
        int r;

        for (size_t i = 0; i < answer->n_changes; i++) {
                _cleanup_free_ char *o = next_option(argv, answer->options[i]);

                if (!o || excluded(a, o))
                        return 0;
                r = strv_push(&options, o);
                if (r < 0)
                        return r;
        }
        r = same_command(argv, options, answer->n_changes, ret);
        return r < 0 ? r : 1;
}

int next_command(const CliArguments *a, const MeasureContext *c, char *const *argv, const ExpectResult *r,
                char **ret) {
        char *explain = (char *) "--explain";
        int k;

        FOREACH_ARRAY(answer, r->answers, r->n_answers) {
                k = options_command(a, argv, answer, ret);
                if (k != 0)
                        return k < 0 ? k : 0;
        }
        FOREACH_ARRAY(answer, r->answers, r->n_answers) {
                k = launch_command(c, answer, ret);
                if (k != 0)
                        return k < 0 ? k : 0;
        }
        return same_command(argv, &explain, 1, ret);
}
