/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-id-block.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"

#define ID_BLOCK_SIZE    96u
#define ID_BLOCK_LD_SIZE 48u
#define ID_BLOCK_POLICY  0x58u

int run_check_id_block(const LaunchInputs *in, const MeasureAnswer *answer, char **reterr) {
        const char *digest = measure_answer_digest(answer);
        _cleanup_free_ uint8_t *block = NULL;
        _cleanup_free_ char *named = NULL;
        size_t size = 0;
        int r;

        if (!in->id_block)
                return 0;
        r = base64_decode(in->id_block, strlen(in->id_block), &block, &size);
        if (r < 0 || size != ID_BLOCK_SIZE || !digest)
                return error_set(reterr, -EBADMSG, "--id-block: cannot be compared with the launch");

        named = hex_encode(block, ID_BLOCK_LD_SIZE);
        if (!named)
                return -ENOMEM;
        if (strcmp(named, digest) != 0)
                return error_set(reterr, -EBADE,
                                "--id-block: it is for the launch digest %s, this launch has %s: build it "
                                "anew, or let --id-key= do it",
                                named, digest);
        if (le64_read(block + ID_BLOCK_POLICY) != in->plan.policy)
                return error_set(reterr, -EBADE,
                                "--id-block: it is for the guest policy 0x%" PRIx64
                                ", this launch has 0x%" PRIx64 ": give --coco-policy=0x%" PRIx64
                                " or build it anew",
                                le64_read(block + ID_BLOCK_POLICY), in->plan.policy,
                                le64_read(block + ID_BLOCK_POLICY));
        return 0;
}
