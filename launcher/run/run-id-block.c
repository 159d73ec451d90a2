/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-id-block.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"

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
                return error_set(reterr, -EBADMSG, "--id-block: cannot compare it with this launch");

        named = hex_encode(block, ID_BLOCK_LD_SIZE);
        if (!named)
                return -ENOMEM;
        if (strcmp(named, digest) != 0)
                return error_set(reterr, -EBADE,
                                "--id-block: it is for launch digest %s, but this launch has %s: rebuild it, or use --id-key=",
                                named, digest);
        if (le64_read(block + ID_BLOCK_POLICY) != in->plan.policy)
                return error_set(reterr, -EBADE,
                                "--id-block: it is for guest policy 0x%" PRIx64
                                ", but this launch has 0x%" PRIx64 ": pass --coco-policy=0x%" PRIx64
                                " or rebuild it",
                                le64_read(block + ID_BLOCK_POLICY), in->plan.policy,
                                le64_read(block + ID_BLOCK_POLICY));
        return 0;
}

/* Both members of the answer, as QEMU takes them. */
static int take_pair(const Json *answer, LaunchInputs *in) {
        const char *block = js_string_value(js_get(answer, "id-block"));
        const char *auth = js_string_value(js_get(answer, "id-auth"));

        if (!block || !auth)
                return -EBADMSG;
        free(in->id_block);
        free(in->id_auth);
        in->id_block = strdup(block);
        in->id_auth = strdup(auth);
        return in->id_block && in->id_auth ? 0 : -ENOMEM;
}

int run_build_id_block(
                const VmConfig *config, const MeasureAnswer *answer, LaunchInputs *in, char **reterr) {
        _cleanup_(program_child_done) ProgramChild c = PROGRAM_CHILD_NONE;
        const char *digest = measure_answer_digest(answer);
        _cleanup_strv_free_ char **arguments = NULL;
        _cleanup_js_ Json *json = NULL;
        int r;

        if (!config->id_key)
                return 0;
        if (!digest)
                return error_set(reterr, -EBADMSG, "--id-key: this launch has no digest to sign");
        r = strv_push(&arguments, "build");
        if (r >= 0)
                r = strv_push(&arguments, digest);
        if (r >= 0)
                r = strv_push(&arguments, "--json=short");
        if (r >= 0)
                r = strv_pushf(&arguments, "--policy=0x%" PRIx64, in->plan.policy);
        if (r >= 0)
                r = strv_pushf(&arguments, "--id-key=%s", config->id_key);
        if (r >= 0 && config->author_key)
                r = strv_pushf(&arguments, "--author-key=%s", config->author_key);
        if (r < 0)
                return r;

        r = program_child_start("id-block", arguments, NULL, 0, &c, reterr);
        if (r >= 0)
                r = program_child_finish(&c, &json, reterr);
        if (r < 0)
                return r;
        r = take_pair(json, in);
        if (r < 0)
                return error_set(reterr, r, "--id-key: the id-block program returned no ID block");
        in->author_key = config->author_key;
        return 0;
}
