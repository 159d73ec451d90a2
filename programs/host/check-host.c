/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn check-host: can this machine launch a confidential guest, and what is missing? */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "check-host.h"
#include "config-handlers.h"
#include "error.h"
#include "host-caps.h"
#include "strutil.h"
#include "verb.h"

typedef struct CheckArguments {
        VmConfig config; /* the first: the launcher's handlers fill it */
        VerbCommon common;
} CheckArguments;

#define AT(member) offsetof(CheckArguments, member)

/* A guest without a technology needs nothing that is checked here. */
static int handle_coco(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        if (coco_mode_from_string(value) <= COCO_NONE && !streq(value, "auto"))
                return error_set(reterr, -EINVAL, "expected sev, sev-es, sev-snp, tdx or auto, not '%s'",
                                value);
        return config_handle_coco(userdata, row, value, reterr);
}

static const OptionRow rows[] = {
        { "coco", 0, OPTION_REQUIRED, "MODE", "Options",
                        "Check for this technology: sev, sev-es, sev-snp, tdx, or auto:\nthe best of this CPU's vendor (default: sev-snp)",
                        "sev sev-es sev-snp tdx auto", handle_coco, AT(config.coco), 0 },
        { "ram", 0, OPTION_REQUIRED, "BYTES", NULL,
                        "Check the lock limit for a guest with this memory (default: 2G)", NULL,
                        config_handle_ram, AT(config.ram), 0 },
        { "qemu", 0, OPTION_REQUIRED, "PATH", NULL, "Check this QEMU program", "@file", option_set_string,
                        AT(config.qemu), 0 },
        { "firmware", 0, OPTION_REQUIRED, "PATH", NULL, "Check this firmware descriptor or image", "@file",
                        config_handle_firmware, AT(config.firmware_path), OPTION_STRING },
        VERB_ROWS(NULL),
};

static const OptionTable table = {
        .program = "cvmspawn check-host",
        .summary = "Check whether this host can launch a confidential guest, and report what is missing.",
        .zone = "host",
        .epilog = "Exit status: 0 it can, 3 it cannot, 4 more privileges are needed to find out, 1 usage error. Manual: cvmspawn-check-host(1).",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

static int print_json(
                const HostFacts *facts, const CheckList *list, CocoMode mode, JsStyle style, int status) {
        _cleanup_js_ Json *j = NULL;
        _cleanup_free_ char *text = NULL;
        Json *lines = js_array();
        int r;

        r = host_caps_to_json(&facts->caps, &j);
        FOREACH_ARRAY(line, list->lines, r < 0 ? 0 : list->n_lines) {
                Json *item = NULL;

                r = js_build(&item, "{s:s, s:s, s:s, s:s?}", "subject", line->subject, "state",
                                check_state_to_string(line->state), "text", line->text, "remedy",
                                line->remedy);
                if (r >= 0)
                        r = js_append(lines, item);
                if (r < 0)
                        break;
        }
        if (r >= 0)
                r = js_set(j, "checks", TAKE_PTR(lines));
        (void) js_unref(lines);
        if (r >= 0)
                r = js_set(j, "mode", js_string(coco_mode_to_string(mode)));
        if (r >= 0)
                r = js_set(j, "status", js_u64((uint64_t) status));
        text = r >= 0 ? js_text(j, style) : NULL;
        if (!text)
                return -ENOMEM;
        puts(text);
        return 0;
}

static void print_words(const CheckList *list, CocoMode mode, int status) {
        FOREACH_ARRAY(line, list->lines, list->n_lines) {
                printf("%-8s %-9s %s\n", check_state_to_string(line->state), line->subject, line->text);
                if (line->remedy)
                        printf("%-18s -> %s\n", "", line->remedy);
        }
        printf("\n%s %s.\n",
                        status == 0 ? "This host can launch"
                                        : status == 3
                                        ? "This host cannot launch"
                                        : "More privileges are needed to find out whether this host can launch",
                        coco_mode_to_string(mode));
        if (status != 0 && mode != COCO_NONE)
                printf("Add --simulate to try the same launch without this hardware (it is then not confidential).\n");
}

static int check(const CheckArguments *a) {
        CocoMode mode = a->config.coco == COCO_NONE ? COCO_SEV_SNP : a->config.coco;
        _cleanup_(host_facts_done) HostFacts facts = {};
        _cleanup_(check_list_done) CheckList list = {};
        int r, status;

        r = check_probe(&a->config, &facts);
        if (a->config.coco_auto && facts.vendor == COCO_VENDOR_INTEL)
                mode = COCO_TDX;
        if (r >= 0)
                r = check_judge(&facts, mode, a->config.ram, &list);
        if (r < 0)
                return r;
        status = check_list_status(&list);
        if (a->common.json)
                r = print_json(&facts, &list, mode, a->common.style, status);
        else
                print_words(&list, mode, status);
        return r < 0 ? r : status;
}

static void check_host_init(void *arguments) {
        vm_config_init(&((CheckArguments *) arguments)->config);
}

static int check_host_run(void *arguments, char **words, char **reterr) {
        CheckArguments *a = arguments;
        int r = words ? error_set(reterr, -EINVAL, "unexpected argument '%s'; see --help", words[0])
                      : check(a);

        vm_config_done(&a->config);
        return r;
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(CheckArguments),
        .common = AT(common),
        .init = check_host_init,
        .run = check_host_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
