/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Evidence in any wrapping or text form: what decodes must encode to the same bytes and print. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "snp-evidence.h"
#include "snp-report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t again[SNP_REPORT_SIZE];
        char *error = NULL, *text = NULL;
        SnpReport report;
        SnpEvidence e = {};
        Json *j = NULL;

        if (snp_evidence_open(data, size, &e, &error) < 0 ||
                        snp_report_decode(e.report, e.report_size, &report, &error) < 0) {
                if (!error)
                        abort(); /* every refusal has a sentence */
                free(error);
                snp_evidence_done(&e);
                return 0;
        }
        snp_report_encode(&report, again);
        if (report.version <= SNP_REPORT_VERSION_MAX && report.version != 4 &&
                        memcmp(again, e.report, sizeof(again)) != 0)
                abort();
        for (int g = -1; g < _SNP_GENERATION_MAX; g++) {
                if (snp_report_text(&report, (SnpGeneration) g, &text) == 0)
                        free(text);
                if (snp_report_text_snpguest(&report, (SnpGeneration) g, &text) == 0)
                        free(text);
                if (snp_report_json(&report, (SnpGeneration) g, &j) == 0)
                        js_unref(j);
        }
        snp_evidence_done(&e);
        return 0;
}
