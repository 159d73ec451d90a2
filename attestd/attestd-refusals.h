/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Why hosts were refused lately, for the owners of the registrations: in memory, of a fixed size, since this service started. One registration has at most
 * REFUSALS_PER_VM of them, so that a host that fails again and again does not push out what others need to know. */

#include <stddef.h>
#include <stdint.h>

#include "attestd-registration.h"

#define REFUSALS_MAX        256u
#define REFUSALS_PER_VM     16u
#define REFUSAL_CODE_SIZE   40u
#define REFUSAL_DETAIL_SIZE 256u

typedef struct Refusal {
        char vm[REGISTRATION_ID_MAX + 1]; /* "": none */
        const char *request;              /* literal */
        char code[REFUSAL_CODE_SIZE], detail[REFUSAL_DETAIL_SIZE];
        int64_t owner, time;
        uint64_t number; /* the later, the higher */
} Refusal;

typedef struct Refusals {
        Refusal items[REFUSALS_MAX];
        uint64_t n; /* of all that ever were */
} Refusals;

/* Copied; its number is set here. */
void refusals_add(Refusals *l, const Refusal *f);
/* The newest one of this owner before this number; NULL: none. */
const Refusal *refusals_before(const Refusals *l, int64_t owner, uint64_t number);
