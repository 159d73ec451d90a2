/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* AMD's servers for SEV and SEV-ES, and a disk cache in front of them: the signed CEK of a chip
 * (https://kdsintf.amd.com/cek/id/ID) and the ASK and ARK of a generation (ask_ark_GENERATION.cert). What comes from there or
 * from the cache is verified like any other file. */

#include "attest-chain.h"
#include "platform.h"

/* Looks for what the report misses; *report is replaced by a better one if something was found. */
_warn_unused_result_ int platform_fetch(const PlatformArgs *a, const SevChainPolicy *policy, SevChain *chain,
                SevChainReport *report, char **reterr);
