/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Our user's terminal while it is the guest's. */

#include "run-session.h"

/* Raw, until it is restored. */
_warn_unused_result_ int session_take_terminal(Session *s);
void session_restore_terminal(Session *s);
/* What is shown on a terminal that is the guest's. */
void session_shown(Session *s, const char *data, size_t size);
/* What is typed there: true if it ends the guest. */
bool session_escaped(Session *s, const char *data, size_t size);
/* What the guest is told of the user's terminal; the length, without a NUL. Nothing: there is none. */
#define TERMINAL_WORDS_MAX 96u
size_t terminal_words(const Session *s, char ret[TERMINAL_WORDS_MAX]);
/* Calls changed() when its size does. */
_warn_unused_result_ int session_watch_terminal(Session *s, void (*changed)(Session *s));
