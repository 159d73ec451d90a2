/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The system calls that can fail in practice, and how: what the injector may do to a program. */

#include <stdbool.h>
#include <stdint.h>

/* What a call's first argument is, for the choice of errors. */
typedef enum FdKind {
        FD_NONE = 1 << 0, /* the call takes no descriptor */
        FD_FILE = 1 << 1,
        FD_PIPE = 1 << 2,
        FD_SOCKET = 1 << 3,
        FD_OTHER = 1 << 4, /* event and timer descriptors, devices */
} FdKind;

#define FD_ANY (FD_NONE | FD_FILE | FD_PIPE | FD_SOCKET | FD_OTHER)

#define SHORT_COUNT 100000 /* in place of an error: the call transfers half of what was asked for */

typedef struct CallError {
        const char *name;
        unsigned kinds; /* of descriptors with which it can happen */
} CallError;

typedef struct Call {
        long number;
        const char *name;
        bool takes_fd;
        int operation; /* not 0: only with this second argument */
        CallError errors[5];
} Call;

/* NULL: a call that is left alone. */
const Call *call_find(long number, unsigned long operation);
/* A positive errno, SHORT_COUNT, or 0 for a name that is not in the table. */
int error_number(const char *name);
