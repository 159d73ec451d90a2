/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* libvirt's domain XML to the QEMU command line that libvirt makes of it, as far as that is measured (libvirt: formatdomain.html,
 * src/qemu/qemu_command.c). Elements that are not in a table here are refused by name. */

#include <stdbool.h>

#include "coco.h"
#include "libvirt-xml.h"

typedef struct ForeignDomain {
        char **argv;    /* owned; without firmware where the domain leaves the choice to libvirt */
        char *cpu;      /* owned: how the domain asks for the host's CPU ("host-model"), or NULL */
        bool firmware;  /* the domain names a firmware file */
        CocoMode mode;  /* what <launchSecurity> asks for */
        char **notices; /* owned: what libvirt understands differently than a reader may */
} ForeignDomain;

void foreign_domain_done(ForeignDomain *d);

/* Any document that holds one <domain>: also <domstatus>, <domainsnapshot>, with other text around. */
_warn_unused_result_ int foreign_domain_read(
                const char *text, char *const *assumed, ForeignDomain *ret, char **reterr);
