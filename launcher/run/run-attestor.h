/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The attestor program as a child: it may hold keys and reach the network, the launcher may not. The lines are attestor/attestor-protocol.h's.
 * It is started before the launcher confines itself and may live as long as the guest. */

#include "json.h"
#include "process.h"
#include "run-hook.h"

#define ATTESTOR_CHILD_LINE_MAX (64u * 1024)

typedef struct AttestorChild {
        Process process;
        int fd;       /* owned: the channel */
        int messages; /* owned: a memory file with what it says on standard error */
        size_t told;  /* so many bytes of these were passed on */
        char *line;   /* owned: what came behind the last answer */
        size_t size;
} AttestorChild;

#define ATTESTOR_CHILD_NONE ((AttestorChild) { .process = PROCESS_NONE, .fd = -EBADF, .messages = -EBADF })

/* options: NULL-terminated. */
_warn_unused_result_ int attestor_child_start(char *const *options, AttestorChild *ret, char **reterr);
/* Asks, passes on why an answer takes its time, and waits for it. request is taken. *ret: an object of the wanted type; a refusal is
 * -EKEYREJECTED with its reason. */
_warn_unused_result_ int attestor_child_ask(
                AttestorChild *c, RunHook *h, Json *request, const char *wanted, Json **ret, char **reterr);
/* Closes the channel, at which it erases its keys and ends. */
void attestor_child_done(AttestorChild *c);
