/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* OpenStack: what Nova makes of an image, a flavor and a server, as 'openstack ... show -f json' prints them or as the services' own interfaces
 * have them. The rules are Nova's (nova/virt/hardware.py, nova/virt/libvirt/driver.py), read and not run. */

#include "foreign-effect.h"
#include "foreign.h"
#include "json.h"

typedef struct OpenstackInput {
        const Json *image, *flavor, *server; /* server may be NULL */
        const Json *stored;                  /* Glance's answers for kernel and initrd, an array; or NULL */
} OpenstackInput;

typedef struct OpenstackLine {
        char **argv;    /* owned; a QEMU command line as libvirt would write it */
        char **notices; /* owned */
} OpenstackLine;

void openstack_line_done(OpenstackLine *l);
/* -EINVAL with an error message. Firmware, kernel and initrd are those of o->given: OpenStack's answers have only their IDs. */
_warn_unused_result_ int openstack_line_read(
                const OpenstackInput *in, const ForeignOptions *o, OpenstackLine *ret, char **reterr);

extern const EffectTable openstack_image_table, openstack_property_table, openstack_flavor_table,
                openstack_spec_table, openstack_server_table;
