/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The owner program as a child: it may hold keys and reach the network, the launcher may not. The lines are owner/owner-protocol.h's.
 * It is started before the launcher confines itself and may live as long as the guest. */

#include "json.h"
#include "process.h"
#include "run-hook.h"

#define OWNER_AGENT_PROGRAM  "owner-agent"
#define OWNER_AGENT_LINE_MAX (64u * 1024)

typedef struct OwnerAgent {
        Process process;
        int fd;       /* owned: the channel */
        int messages; /* owned: a memory file with what it says on standard error */
        size_t told;  /* so many bytes of these were passed on */
        char *line;   /* owned: what came after the last answer */
        size_t size;
} OwnerAgent;

#define OWNER_AGENT_NONE ((OwnerAgent) { .process = PROCESS_NONE, .fd = -EBADF, .messages = -EBADF })

/* options: NULL-terminated. */
_warn_unused_result_ int owner_agent_start(char *const *options, OwnerAgent *ret, char **reterr);
/* Asks, passes on why an answer takes its time, and waits for it. request is taken. *ret: an object of the wanted type; a refusal is
 * -EKEYREJECTED with its reason. */
_warn_unused_result_ int owner_agent_ask(
                OwnerAgent *c, RunHook *h, Json *request, const char *wanted, Json **ret, char **reterr);
/* Closes the channel, at which it erases its keys and ends. */
void owner_agent_done(OwnerAgent *c);
