/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --igvm=FILE: the digest of a guest that one file describes. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "firmware-igvm.h"
#include "input.h"
#include "json.h"
#include "log.h"
#include "measure-cli.h"
#include "measure-igvm.h"
#include "strutil.h"

static int read_mode(const CliArguments *a, CocoMode *ret, char **reterr) {
        const MeasureArguments *m = &a->measure;
        MeasureMode mode = measure_mode_from_string(m->mode ?: "snp");

        if (m->ovmf || m->kernel || m->initrd || m->append || m->svsm)
                return error_set(reterr, -EINVAL,
                                "--igvm: everything comes from that file: no firmware, kernel, initrd or words beside it");
        /* Such a file is a whole launch: no mode that measures a part of one. */
        if (mode < 0 || measure_mode_of_coco(measure_mode_coco(mode)) != mode)
                return error_set(reterr, -EINVAL, "--mode: '%s' does not go with --igvm: snp, seves or sev",
                                m->mode);
        *ret = measure_mode_coco(mode);
        return 0;
}

static int check_id_block(const CliArguments *a, const IgvmMeasurement *m, CocoMode mode, char **reterr) {
        _cleanup_free_ char *expected = hex_encode(m->expected, SHA384_SIZE);

        if (!coco_of(mode)->id_block)
                return 0;
        if (!m->kvm_vmsa)
                log_warning("the file does not end with exactly one VMSA at 0x%llx: KVM cannot launch it with this digest",
                                (unsigned long long) SNP_VMSA_GPA);
        if (!m->has_expected || a->ignore_id_block || memcmp(m->expected, m->digest.bytes, SHA384_SIZE) == 0)
                return 0;
        return error_set(reterr, -EBADMSG,
                        "the ID block in the file expects the digest %s, which this file does not have: it was changed after it was signed; "
                        "--ignore-idblock computes the digest anyway",
                        expected ?: "?");
}

static int print_json(const CliArguments *a, const IgvmMeasurement *m, const char *hex, const char *sha256,
                size_t size) {
        _cleanup_js_ Json *j = NULL;
        int r;

        r = js_build(&j, "{s:s, s:s, s:s, s:{s:{s:s, s:I}}, s:{s:s, s:s}}", "mode", a->measure.mode ?: "snp",
                        "digest", hex, "digest-algorithm", hash_algorithm_to_string(m->digest.algorithm),
                        "parts", "igvm", "sha256", sha256, "size", (long long) size, "generator", "name",
                        "cvmspawn", "version", CVMSPAWN_VERSION);
        if (r >= 0 && m->has_expected)
                r = js_set(j, "id-block-digest", js_hex(m->expected, SHA384_SIZE));
        if (r < 0)
                return r;
        return verb_print_json(j, a->common.style);
}

static int print_result(const CliArguments *a, const IgvmMeasurement *m, const char *data, size_t size,
                char **reterr) {
        bool base64 = a->output_format && streq(a->output_format, "base64");
        _cleanup_free_ char *hex = hex_encode(m->digest.bytes, m->digest.size), *text = NULL, *sha256 = NULL;
        uint8_t expected[SHA384_SIZE], file[SHA256_SIZE];
        int r;

        if (!hex)
                return -ENOMEM;
        if (a->expect) {
                r = bytes_from_text(a->expect, expected, m->digest.size, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "--expect");
                if (memcmp(expected, m->digest.bytes, m->digest.size) == 0)
                        return printf("equal: %s\n", hex) < 0 ? -EIO : 0;
                return printf("different: computed %s\n", hex) < 0 ? -EIO : MEASURE_DIFFERENT;
        }
        if (a->common.json) {
                r = hash_digest(HASH_SHA256, data, size, file);
                if (r < 0)
                        return r;
                sha256 = hex_encode(file, sizeof(file));
                return sha256 ? print_json(a, m, hex, sha256, size) : -ENOMEM;
        }
        text = base64 ? base64_encode(m->digest.bytes, m->digest.size) : TAKE_PTR(hex);
        return !text ? -ENOMEM : puts(text) < 0 ? -EIO : 0;
}

int measure_igvm(const CliArguments *a, char **reterr) {
        _cleanup_free_ char *data = NULL;
        IgvmMeasurement m = {};
        CocoMode mode;
        size_t size;
        int r;

        r = read_mode(a, &mode, reterr);
        if (r < 0)
                return r;
        r = input_read("igvm", a->igvm, IGVM_FILE_SIZE_MAX, &data, &size, reterr);
        if (r < 0)
                return r;
        r = igvm_measure((const uint8_t *) data, size, mode, a->explain ? print_step : NULL, NULL, &m,
                        reterr);
        if (r < 0)
                return error_prefix(reterr, r, "%s", a->igvm);
        r = check_id_block(a, &m, mode, reterr);
        return r < 0 ? r : print_result(a, &m, data, size, reterr);
}
