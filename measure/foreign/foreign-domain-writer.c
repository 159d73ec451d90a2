/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-domain-writer.h"

#include <stdio.h>
#include <string.h>

#include "foreign-domain-table.h"
#include "strutil.h"

/* The text at a path below the domain: owned, NULL if there is none. */
int domain_text_at(const DomainWriter *w, const char *path, char **ret) {
        char whole[PATH_MAX_X];

        (void) snprintf(whole, sizeof(whole), DOMAIN "%s", path);
        return libvirt_xml_text(w->x, whole, ret);
}

/* The same without blanks around it. */
int domain_word_at(const DomainWriter *w, const char *path, char **ret) {
        char *s = NULL, *begin;
        int r = domain_text_at(w, path, &s);

        *ret = s;
        if (r < 0 || !s)
                return r;
        begin = s + strspn(s, " \t\r\n");
        memmove(s, begin, strlen(begin) + 1);
        for (size_t n = strlen(s); n > 0 && strchr(" \t\r\n", s[n - 1]); n--)
                s[n - 1] = 0;
        return 0;
}

int domain_push_pairs(DomainWriter *w, const char *option, const char *first, const Pairs *p) {
        _cleanup_free_ char *text = NULL;
        int r = pairs_text(p, &text);

        if (r >= 0)
                r = strv_push(&w->d->argv, option);
        return r < 0 ? r : strv_pushf(&w->d->argv, "%s%s%s", first, *first && *text ? "," : "", text);
}
