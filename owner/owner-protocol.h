/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a launcher that may hold no keys and reach no network says to a child that may: one JSON object per line, over a socket pair that is
 * the child's standard input and output. The launcher asks, the child answers each question once; in between it may report that it waits.
 *
 *      > {"type":"launch", "scheme":"amd-sev-es", "policy":7, "pdh":B64, "cert-chain":B64, "cpu-id":B64, "secret-area":3072}
 *      < {"type":"session", "session":B64, "dh-cert":B64, "policy":7, "launch-id":"..."}
 *              policy is left out by a launcher that leaves it to the owner; cpu-id and secret-area may be absent
 *      > {"type":"validate", "api-major":1, "api-minor":55, "build-id":21, "policy":7, "measurement":B64, "digest":HEX}
 *      < {"type":"packet", "secret-header":B64, "secret-payload":B64, "secret-gpa":0}
 *              secret-gpa may be absent; all three are if there is nothing to inject; digest is the launcher's prediction
 *      < {"type":"refused", "verdict":"not-authentic", "code":"measurement-mismatch", "reason":"..."}
 *              instead of any answer. verdict is one of attest-verdict.h; the guest must not run
 *      < {"type":"waiting", "reason":"..."}
 *              before any answer, as often as needed
 *
 * What cannot be decided is "refused" as well, with the verdict "unverified". After a refusal the child goes on: another question is up to
 * the launcher. It ends at the end of its input, with status 0; the keys are erased then. A launcher whose guest is attested while it
 * runs keeps the channel open after `cont`: types that are not known are refused with the code "unknown-request", so that further
 * questions can be added. Members that are not known are ignored. */

#include "owner.h"

#define OWNER_LINE_MAX (64u * 1024) /* certificates of a platform as base64 take 16 KiB */

/* Answers until the input ends: 0; -errno where the channel broke. Where in and out are one socket, `owner_hung_up` tells a pause that
 * nobody waits any more. */
_warn_unused_result_ int owner_serve(Owner *a, int in, int out, char **reterr);

/* An OwnerPatience for owner_serve(): userdata is an OwnerChannel. */
typedef struct OwnerChannel {
        int in, out;
} OwnerChannel;

void owner_channel_notice(void *channel, const char *sentence);
int owner_channel_pause(void *channel, unsigned milliseconds);
