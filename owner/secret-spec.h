/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* ALIAS-OR-GUID:FILE, as people name a secret for a guest. */

#include "attest-secret.h"

/* Reads the file (a FIFO or socket, too) into locked memory and adds it; the sentence begins with the option's name. */
_warn_unused_result_ int secret_spec_add(SecretTable *t, const char *spec, char **reterr);
