/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Credentials that the host of a TD adds. The registers do not cover all that a host can hand to a kernel that is booted directly, so PID 1 is told to
 * import none. What the launch itself gives it comes through the adapter then: it sets $CREDENTIALS_DIRECTORY, and systemd imports nothing where that is set (systemd's src/core/import-creds.c). */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "resolve-parts.h"
#include "resolve-uki.h"
#include "strutil.h"

static bool has_initrd(const VmConfig *config, const Uki *uki) {
        return config->initrds || config->n_binds > 0 ||
                        (uki && uki->found && uki->initrd.present && uki->initrd.size > 0);
}

static bool says(char *const *words, const char *word) {
        STRV_FOREACH(w, words) {
                const char *found = strstr(*w, word);
                size_t n = strlen(word);

                if (found && (found == *w || found[-1] == ' ') && (!found[n] || found[n] == ' '))
                        return true;
        }
        return false;
}

int resolve_shield(const VmConfig *config, const CredentialSet *credentials, ResolveOptions *options,
                LaunchInputs *in) {
        const bool ours = credentials->n_items > 0 && has_initrd(config, options->uki),
                   adapter = in->transport == TRANSPORT_INITRD && resolve_adapter_allowed(config),
                   given = says(config->cmdline, SHIELD_WORD);
        const char *why;

        if (!coco_of(config->coco)->strings_unseen || !config->linux_path || options->whole_kernel)
                return 0;
        if ((given || !config->exact_words) && (adapter || !ours)) {
                options->shield = !given;
                options->adapter = options->adapter || ours;
                return 0;
        }
        why = config->exact_words                                         ? "--exact-words"
                        : config->adapter && streq(config->adapter, "no") ? "--adapter=no"
                                                                          : "--credential-transport=";
        return strv_pushf(&in->notices,
                        given ? "%s: systemd in the guest imports no credentials, since " SHIELD_WORD
                                " is on the kernel command line and the adapter does not pass them on"
                              : "%s: the host of this TD can add credentials that no register shows, since " SHIELD_WORD
                                " is not on the kernel command line",
                        why);
}
