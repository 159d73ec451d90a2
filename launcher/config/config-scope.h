/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The scope unit that holds QEMU: its name, its slice, and the properties of --property= as the service manager's D-Bus interface has
 * them (org.freedesktop.systemd1(5), systemd.resource-control(5)). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define SCOPE_SLICE     "machine.slice"
#define SCOPE_TASKS_MAX 16384u /* machined's */
#define SCOPE_CPUS_MAX  1024u

typedef enum ScopeKind {
        SCOPE_BYTES,   /* t; a percentage is the property with "Scale", u */
        SCOPE_TASKS,   /* the same */
        SCOPE_WEIGHT,  /* t */
        SCOPE_PERCENT, /* t: microseconds of CPU time in a second */
        SCOPE_USEC,    /* t */
        SCOPE_BOOL,    /* b */
        SCOPE_TEXT,    /* s */
        SCOPE_UNITS,   /* as */
        SCOPE_CPUS,    /* ay: a bit for each */
        _SCOPE_KIND_MAX,
} ScopeKind;

typedef struct ScopeValue {
        const char *property; /* a literal: D-Bus' name */
        ScopeKind kind;
        bool scale; /* of SCOPE_BYTES and SCOPE_TASKS: number is a part of UINT32_MAX */
        uint64_t number;
        char *text;   /* owned */
        char **words; /* owned */
        uint8_t bits[SCOPE_CPUS_MAX / 8];
        size_t n_bits; /* bytes */
} ScopeValue;

/* "NAME=VALUE" of --property=. -EINVAL with an error message. *ret can be given to scope_value_done() on success. */
_warn_unused_result_ int scope_value_parse(const char *assignment, ScopeValue *ret, char **reterr);
void scope_value_done(ScopeValue *v);
/* "machine-NAME.scope", escaped as systemd.unit(5) says; *ret is owned. */
_warn_unused_result_ int scope_name(const char *machine, char **ret);
