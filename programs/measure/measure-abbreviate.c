/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sev-snp-measure takes unambiguous beginnings of its own options. Ours that begin alike must not make them ambiguous. */

#include <errno.h>
#include <string.h>

#include "measure-cli.h"
#include "strutil.h"

static const char *const peer_options[] = { "append", "dump-vmsa", "guest-features", "help", "initrd",
        "kernel", "mode", "output-format", "ovmf", "snp-ovmf-hash", "svsm", "vars-file", "vars-size",
        "vcpu-family", "vcpu-model", "vcpu-sig", "vcpu-stepping", "vcpu-type", "vcpus", "verbose", "version",
        "vmm-type" };

/* The one option that begins so, or NULL: none, several, or the name is whole. */
static const char *whole_name(const char *name, size_t n) {
        const char *found = NULL;

        for (size_t i = 0; i < ELEMENTSOF(peer_options); i++)
                if (strncmp(peer_options[i], name, n) == 0) {
                        if (found || !peer_options[i][n])
                                return NULL;
                        found = peer_options[i];
                }
        return found;
}

int expand_abbreviations(char *const *argv, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;
        bool ended = false;

        STRV_FOREACH(arg, argv) {
                const char *name = ended ? NULL : startswith(*arg, "--"), *whole = NULL;
                size_t n = name ? strcspn(name, "=") : 0;
                int r;

                ended = ended || streq(*arg, "--");
                if (name && n > 0)
                        whole = whole_name(name, n);
                r = whole ? strv_pushf(&l, "--%s%s", whole, name + n) : strv_push(&l, *arg);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(l);
        return 0;
}
