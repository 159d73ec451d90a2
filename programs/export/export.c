/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn export: the launcher's own options, its own way to make a plan of them, and that plan as the configuration of another launcher.
 * Nothing is launched. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "export-cli.h"
#include "extract-config.h"
#include "fd.h"
#include "kata-initdata.h"
#include "log.h"
#include "resolve.h"
#include "stdout.h"
#include "strutil.h"
#include "verb.h"
#include "yaml-json.h"

typedef struct Arguments {
        char *output;
        ExportOptions options;
        char *kernel_image, *hook_sidecar, *initdata, *lock;
        char *host_data; /* owned: of the initdata */
        bool single_image, yaml;
        VerbCommon common;
} Arguments;

#define AT(member) offsetof(Arguments, member)

/* MAJOR.MINOR, as ExportOptions has it. */
static int set_release(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        unsigned *to = (unsigned *) ((char *) userdata + row->offset), major, minor;
        char end;

        if (sscanf(value, "%3u.%3u%c", &major, &minor, &end) < 2 || major == 0 ||
                        (sscanf(value, "%*u.%*u%c", &end) == 1 && end != '.'))
                return error_set(reterr, -EINVAL, "expected a version such as 11.3, not '%s'", value);
        *to = major * 1000 + minor;
        return 0;
}

static const OptionRow rows[] = {
        { "output", 'o', OPTION_REQUIRED, "DIR", "Options",
                        "Write files into DIR that this launch puts together from parts:\na merged initrd, the kernel of a UKI",
                        "@dir", option_set_string, AT(output), 0 },
        { "lock", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Take the launch from this lock file, or compare the launch\noptions with it",
                        "@file", option_set_string, AT(lock), 0 },
        { "libvirt-version", 0, OPTION_REQUIRED, "VERSION", NULL,
                        "Name the version of libvirt: what it lacks is refused", NULL, set_release,
                        AT(options.libvirt), 0 },
        { "nova-version", 0, OPTION_REQUIRED, "VERSION", NULL,
                        "Name the version of Nova, such as 32.0: what it lacks is refused", NULL,
                        set_release, AT(options.nova), 0 },
        { "kernel-image", 0, OPTION_REQUIRED, "NAME", NULL,
                        "Name the container image with /vmlinuz and /initrd.img", NULL, option_set_string,
                        AT(kernel_image), 0 },
        { "hook-sidecar", 0, OPTION_REQUIRED, "NAME", NULL,
                        "Use a hook in this container image (KubeVirt's sidecar-shim) for\nwhat KubeVirt up to 1.9 has no fields for",
                        NULL, option_set_string, AT(hook_sidecar), 0 },
        { "initdata", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Take host data from this document, as Kata does from a pod's\nannotation", "@file",
                        option_set_string, AT(initdata), 0 },
        { "yaml", 0, OPTION_NONE, NULL, NULL, "Write YAML instead of JSON (libyaml is needed)", NULL,
                        option_set_true, AT(yaml), 0 },
        { "single-image", 0, OPTION_NONE, NULL, NULL,
                        "Upload the image alone, for its own boot loader: its kernel is\nnot measured then",
                        NULL, option_set_true, AT(single_image), 0 },
        { "json", 0, OPTION_OPTIONAL, "STYLE", NULL,
                        "Print images and flavor as JSON instead of commands: pretty,\nshort or off (default: pretty on a terminal, otherwise short)",
                        OPTION_JSON_VALUES, verb_set_json, AT(common), 0 },
        VERB_HELP_ROWS,
};

static const OptionCommand commands[] = {
        { "incus", "LAUNCH-OPTION...", "Write configuration keys of Incus", "output lock" },
        { "kata", "LAUNCH-OPTION...", "Write keys of Kata Containers' configuration",
                        "output lock initdata" },
        { "kubevirt", "LAUNCH-OPTION...", "Write a VirtualMachineInstance of KubeVirt",
                        "output lock kernel-image hook-sidecar yaml" },
        { "libvirt", "LAUNCH-OPTION...", "Write the domain XML of libvirt", "output lock libvirt-version" },
        { "openstack", "LAUNCH-OPTION...", "Write commands that store images and start a server",
                        "output lock nova-version single-image json" },
        { "proxmox", "LAUNCH-OPTION...", "Write a 'qm set' command of Proxmox VE", "output lock" },
        { "qemu", "LAUNCH-OPTION...", "Write a shell script that runs QEMU", "output lock" },
};

static const OptionTable table = {
        .program = "cvmspawn export",
        .summary = "Write a confidential launch as the configuration of another launcher.",
        .zone = "host",
        .epilog = "The launch is described by the launcher's own options: see 'cvmspawn --help'. Nothing is launched, and what\n"
                  "the other launcher cannot express is refused. Manual: cvmspawn-export(1).",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .commands = commands,
        .n_commands = ELEMENTSOF(commands),
};

/* The own row that an argument names, or NULL. */
static const OptionRow *own_row(const char *arg) {
        const char *name = startswith(arg, "--");
        size_t n = name ? strcspn(name, "=") : 0;

        FOREACH_ARRAY(row, rows, ELEMENTSOF(rows))
                if (name ? n == strlen(row->name) && strncmp(row->name, name, n) == 0
                         : row->letter && arg[0] == '-' && arg[1] == row->letter)
                        return row;
        return NULL;
}

/* Parts argv into this program's options and the launcher's, both with argv[0]; the target is the first word. */
static int split(char *const *argv, char ***ret_own, char ***ret_launcher) {
        _cleanup_strv_free_ char **own = NULL, **launcher = NULL;
        bool ended = false, target = false;
        int r = strv_push(&own, argv[0]);

        if (r >= 0)
                r = strv_push(&launcher, argv[0]);
        for (size_t i = 1; r >= 0 && argv[i]; i++) {
                const OptionRow *row = ended ? NULL : own_row(argv[i]);
                bool word = !ended && !target && argv[i][0] != '-';

                ended = ended || streq(argv[i], "--");
                target = target || word;
                r = strv_push(row || word ? &own : &launcher, argv[i]);
                if (r >= 0 && row && row->arg == OPTION_REQUIRED && argv[i + 1] &&
                                (argv[i][1] == '-' ? !strchr(argv[i], '=') : !argv[i][2]))
                        r = strv_push(&own, argv[++i]);
        }
        if (r < 0)
                return r;
        *ret_own = TAKE_PTR(own);
        *ret_launcher = TAKE_PTR(launcher);
        return 0;
}

static void print_notices(char *const *notices) {
        STRV_FOREACH(n, notices)
                log_warning("%s", *n);
}

/* What starts a kernel that is in the image. */
typedef enum ImageBoot {
        BOOT_DIRECT,   /* the launcher: it is taken out */
        BOOT_LOADER,   /* the loader in the image, always */
        BOOT_AS_ASKED, /* the same, by --single-image */
} ImageBoot;

static int resolve(char **launcher, ImageBoot boot, VmConfig *config, ExtractChild *image,
                LaunchInputs *inputs, char **reterr) {
        ResolveOptions options = { .for_launch = false, .transport = TRANSPORT_AUTO };
        _cleanup_strv_free_ char **notices = NULL;
        int r;

        vm_config_init(config);
        r = vm_config_parse(config, (int) strv_length(launcher), launcher, reterr);
        if (r >= 0 && boot == BOOT_AS_ASKED && strv_length(config->cmdline) > 0)
                r = error_set(reterr, -EINVAL,
                                "the kernel argument '%s' cannot be exported with --single-image: the boot loader in the image chooses the kernel command line; leave one of the two out",
                                config->cmdline[0]);
        if (r >= 0 && boot == BOOT_AS_ASKED && !config->image)
                r = error_set(reterr, -EINVAL, "--single-image needs the image: pass it with --image=FILE");
        if (r >= 0)
                r = extract_into_config(config, image, &notices, reterr);
        /* They are about kernel and initrd, which stay in the image otherwise. */
        if (boot == BOOT_DIRECT)
                print_notices(notices);
        if (r >= 0)
                r = vm_config_check(config, reterr);
        if (r < 0 && boot == BOOT_AS_ASKED && config->image && !image->finding)
                return error_prefix(reterr, r, "--single-image: no kernel was found in '%s'", config->image);
        if (r < 0)
                return r;
        if (config->simulate)
                return error_set(reterr, -EINVAL,
                                "--simulate cannot be exported: other launchers do not simulate");
        options.transport = config->credential_transport;
        r = resolve_launch(config, &options, inputs, reterr);
        return r < 0 ? r : resolve_fill(config, inputs, /* stop= */ NULL, reterr);
}

static int check_technology(const VmConfig *config, ExportTarget t, char **reterr) {
        if (!coco_of(config->coco)->event_log || t == EXPORT_LIBVIRT)
                return 0;
        return error_set(reterr, -EOPNOTSUPP,
                        "--coco=%s cannot be exported to %s yet, only to libvirt: use sev, sev-es or sev-snp",
                        coco_mode_to_string(config->coco), export_target_to_string(t));
}

/* *ret_made: the directory was not there. */
static int make_output(const char *path, bool *ret_made, char **reterr) {
        bool there = access(path, F_OK) >= 0;
        int r = make_directories(path);

        *ret_made = r >= 0 && !there;
        return r < 0 ? error_set(reterr, r, "--output: cannot make the directory '%s': %s", path,
                                       strerror(-r))
                     : 0;
}

/* What was found in the image stays there. */
static void leave_kernel(LaunchPlan *plan) {
        plan->kernel.present = plan->initrd.present = plan->cmdline.present = false;
        plan->sev.kernel_hashes = false;
}

/* *text, which is JSON, becomes YAML. */
static int turn_yaml(char **text, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        char *yaml;
        int r = js_parse(*text, strlen(*text), &j, reterr);

        if (r >= 0)
                r = yaml_json_text(j, &yaml, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--yaml");
        free(*text);
        *text = yaml;
        return 0;
}

static int export_into(const Arguments *a, ExportTarget t, char **launcher, bool *ret_made, char **reterr) {
        _cleanup_(vm_config_done) VmConfig config = {};
        _cleanup_(extract_child_done) ExtractChild image = EXTRACT_CHILD_NONE;
        _cleanup_(launch_inputs_done) LaunchInputs inputs = {};
        _cleanup_(export_launch_done) ExportLaunch launch = {};
        _cleanup_strv_free_ char **notices = NULL;
        _cleanup_free_ char *text = NULL;
        ImageBoot boot = a->single_image ? BOOT_AS_ASKED : t == EXPORT_INCUS ? BOOT_LOADER : BOOT_DIRECT;
        int r = export_check_given(launcher, t, a->single_image, reterr);

        if (r >= 0)
                r = resolve(launcher, boot, &config, &image, &inputs, reterr);
        if (r >= 0)
                r = check_technology(&config, t, reterr);
        print_notices(inputs.notices);
        if (r >= 0 && (boot == BOOT_AS_ASKED || (boot == BOOT_LOADER && image.finding)))
                leave_kernel(&inputs.plan);
        else if (r >= 0 && config.exact_words && !inputs.plan.kernel.present)
                r = error_set(reterr, -EINVAL,
                                "--exact-words has no meaning without a kernel: nothing has a kernel command line; add --linux=, or leave it out");
        if (r >= 0 && a->output)
                r = make_output(a->output, ret_made, reterr);
        if (r >= 0)
                r = export_launch_read(&config, &inputs, a->output, &launch, reterr);
        if (r >= 0 && a->lock)
                r = export_lock_check(a->lock, launcher, &launch.guest, reterr);
        if (r >= 0 && t == EXPORT_OPENSTACK)
                r = export_read_stored(&launch, reterr);
        if (r >= 0)
                r = export_check_kernel(&launch.guest, &notices);
        if (r >= 0)
                r = export_guest(t, &launch.guest, &a->options, &text, &notices, reterr);
        print_notices(notices);
        if (r >= 0 && a->yaml)
                r = turn_yaml(&text, reterr);
        if (r < 0)
                return r;
        fputs(text, stdout);
        r = stdout_finish(0, reterr);
        launch.keep = r >= 0;
        return r;
}

/* What is refused leaves no directory behind that was not there. */
static int export(const Arguments *a, ExportTarget t, char **launcher, char **reterr) {
        bool made = false;
        int r = export_into(a, t, launcher, &made, reterr);

        if (r < 0 && made)
                (void) rmdir(a->output);
        return r;
}

static int run_words(Arguments *a, char **own, char ***launcher, char **reterr) {
        _cleanup_strv_free_ char **words = NULL;
        ExportTarget t;
        int r = options_parse(&table, (int) strv_length(own), own, a, &words, reterr);

        if (r < 0)
                return r;
        if (a->common.help)
                options_help_for(&table, words ? words[0] : "", stdout);
        else if (a->common.version)
                printf("cvmspawn %s\n", CVMSPAWN_VERSION);
        if (a->common.help || a->common.version)
                return 0;
        t = export_target_from_string(words ? words[0] : NULL);
        if (t < 0)
                return error_set(reterr, -EINVAL,
                                "expected a target: incus, kata, kubevirt, libvirt, openstack, proxmox or qemu; see --help");
        a->options.json = a->common.json;
        a->options.style = a->common.style;
        a->options.kernel_image = a->kernel_image;
        a->options.hook_sidecar = a->hook_sidecar;
        r = a->initdata ? kata_initdata_file(a->initdata, &a->host_data, reterr) : 0;
        a->options.initdata = a->host_data;
        if (r < 0)
                return r;
        r = a->lock ? export_lock_options(a->lock, launcher, reterr) : 0;
        return r < 0 ? r : export(a, t, *launcher, reterr);
}

static int export_run(_unused_ int argc, char **argv, char **reterr) {
        _cleanup_strv_free_ char **own = NULL, **launcher = NULL;
        Arguments a = {};
        int r = split(argv, &own, &launcher);

        if (r >= 0)
                r = run_words(&a, own, &launcher, reterr);
        free(a.host_data);
        options_free(&table, &a);
        return r;
}

int main(int argc, char **argv) {
        return verb_main_dialect(table.program, &table, argc, argv, export_run);
}
