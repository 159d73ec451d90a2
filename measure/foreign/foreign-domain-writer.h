/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The QEMU command line of a domain while it is written: for foreign-domain*.c alone. */

#include "foreign-domain.h"
#include "foreign-pairs.h"

typedef struct DomainWriter {
        LibvirtXml *x;
        ForeignDomain *d;
        Pairs machine;
        char **reterr;
} DomainWriter;

/* The text at a path below the domain: owned, NULL if there is none. */
_warn_unused_result_ int domain_text_at(const DomainWriter *w, const char *path, char **ret);
/* The same, without blanks around it. */
_warn_unused_result_ int domain_word_at(const DomainWriter *w, const char *path, char **ret);
/* An option with `first` and the pairs behind it. */
_warn_unused_result_ int domain_push_pairs(
                DomainWriter *w, const char *option, const char *first, const Pairs *p);
_warn_unused_result_ int domain_write_security(DomainWriter *w);
