/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "explain.h"
#include "strutil.h"

/* Linux arch/x86/mm/mem_encrypt.c; before 5.19 the vendor came first. */
#define ACTIVE "Memory Encryption Features active:"

int explain_active(const char *line, char **ret_sentence) {
        static const char *const names[] = { "SEV", "SEV-ES", "SEV-SNP" };
        const char *p = strstr(line, ACTIVE);
        _cleanup_strv_free_ char **words = NULL, **on = NULL, **off = NULL;
        _cleanup_free_ char *text = NULL, *active = NULL, *missing = NULL;
        int r;

        *ret_sentence = NULL;
        if (!p)
                return 0;
        text = strndup(p + strlen(ACTIVE), strcspn(p + strlen(ACTIVE), "\r\n"));
        r = text ? strv_split(text, ' ', &words) : -ENOMEM;
        if (r >= 0 && strv_contains(words, "TDX")) {
                *ret_sentence = strdup(
                                "the guest's kernel found Intel TDX active; only a verified quote proves it");
                return *ret_sentence ? 0 : -ENOMEM;
        }
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(names); i++)
                r = strv_push(strv_contains(words, names[i]) ? &on : &off, names[i]);
        active = strv_join(on, ", ");
        missing = strv_join(off, ", ");
        if (r < 0 || !active || !missing)
                return r < 0 ? r : -ENOMEM;
        if (!on)
                r = asprintf(ret_sentence,
                                "the guest's kernel found none of SEV, SEV-ES and SEV-SNP active: this guest is not protected from its host");
        else
                r = asprintf(ret_sentence,
                                "the guest's kernel found %s active%s%s; only a verified attestation report proves it",
                                active, *missing ? ", and not " : "", missing);
        return r < 0 ? -ENOMEM : 0;
}
