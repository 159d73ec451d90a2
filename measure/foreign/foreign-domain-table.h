/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Elements of a domain that are not known here are refused by name. */

#include "libvirt-xml.h"

#define DOMAIN     "(//domain[@type])[1]"
#define PATH_MAX_X 256u
/* A domain with more elements of one kind is not read further. */
#define ELEMENTS_MAX 4096u

_warn_unused_result_ int foreign_domain_check(LibvirtXml *x, char *const *assumed, char **reterr);
