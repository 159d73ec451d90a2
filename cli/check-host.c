/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn check-host: can this machine launch a confidential guest, and what is missing? */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "check-host.h"
#include "config-handlers.h"
#include "error.h"
#include "log.h"
#include "run.h"
#include "strutil.h"

#define OFFSET(member) offsetof(CheckArguments, member)

typedef struct CheckArguments {
        VmConfig config;
        bool json, help;
} CheckArguments;

static const OptionRow rows[] = {
        { "help", 'h', OPTION_NONE, NULL, "Options", "Show this help", NULL, option_set_true, OFFSET(help),
                        0 },
        { "coco", 0, OPTION_REQUIRED, "MODE", NULL, "sev, sev-es or sev-snp (the default)",
                        "sev sev-es sev-snp", config_handle_coco, OFFSET(config.coco), 0 },
        { "ram", 0, OPTION_REQUIRED, "BYTES", NULL, "Memory of the guest, for the lock limit (2G)", NULL,
                        config_handle_ram, OFFSET(config.ram), 0 },
        { "qemu", 0, OPTION_REQUIRED, "PATH", NULL, "The QEMU program", "@file", option_set_string,
                        OFFSET(config.qemu), 0 },
        { "firmware", 0, OPTION_REQUIRED, "PATH", NULL, "A firmware descriptor or image", "@file",
                        config_handle_firmware, 0, 0 },
        { "json", 0, OPTION_NONE, NULL, NULL, "Print as JSON: also what --host-caps= takes", NULL,
                        option_set_true, OFFSET(json), 0 },
};

static const OptionTable table = {
        .program = "cvmspawn check-host",
        .summary = "Says whether this host can launch a confidential guest, and what is missing.",
        .zone = "host",
        .epilog = "Exit status: 0 it can, 3 it cannot, 4 not knowable without more rights, 1 usage. Manual: "
                  "cvmspawn-check-host(1).",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

static int print_json(const HostFacts *facts, const CheckList *list, SevMode mode, int status) {
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
                r = js_set(j, "mode", js_string(sev_mode_to_string(mode)));
        if (r >= 0)
                r = js_set(j, "status", js_u64((uint64_t) status));
        text = r >= 0 ? js_text(j, JS_PRETTY) : NULL;
        if (!text)
                return -ENOMEM;
        puts(text);
        return 0;
}

static void print_words(const CheckList *list, SevMode mode, int status) {
        FOREACH_ARRAY(line, list->lines, list->n_lines) {
                printf("%-8s %-9s %s\n", check_state_to_string(line->state), line->subject, line->text);
                if (line->remedy)
                        printf("%-18s -> %s\n", "", line->remedy);
        }
        printf("\n%s %s.\n",
                        status == 0                   ? "This host can launch"
                                        : status == 3 ? "This host cannot launch"
                                                      : "It cannot be told without more rights whether this "
                                                        "host can launch",
                        sev_mode_to_string(mode));
        if (status != 0)
                printf("The same launch can be tried without SEV: add --simulate (it is not confidential "
                       "then).\n");
}

static int check(const CheckArguments *a) {
        SevMode mode = a->config.coco == SEV_MODE_NONE ? SEV_MODE_SEV_SNP : a->config.coco;
        _cleanup_(host_facts_done) HostFacts facts = {};
        _cleanup_(check_list_done) CheckList list = {};
        int r, status;

        r = check_probe(&a->config, &facts);
        if (r >= 0)
                r = check_judge(&facts, mode, a->config.ram, &list);
        if (r < 0)
                return r;
        status = check_list_status(&list);
        if (a->json)
                r = print_json(&facts, &list, mode, status);
        else
                print_words(&list, mode, status);
        return r < 0 ? r : status;
}

int main(int argc, char **argv) {
        _cleanup_strv_free_ char **arguments = NULL;
        _cleanup_free_ char *error = NULL;
        CheckArguments a = {};
        int r;

        if (options_dump_requested(&table, argc, argv))
                return 0;

        log_open("cvmspawn check-host", /* quiet= */ false);
        vm_config_init(&a.config);
        r = options_parse(&table, argc, argv, &a, &arguments, &error);
        if (r >= 0 && arguments)
                r = error_set(&error, -EINVAL, "no arguments are expected, '%s' is one; see --help",
                                arguments[0]);
        if (r >= 0 && a.help)
                options_help(&table, stdout);
        else if (r >= 0)
                r = check(&a);
        if (r < 0)
                (void) log_failure(r, error);
        vm_config_done(&a.config);
        return r < 0 ? 1 : r;
}
