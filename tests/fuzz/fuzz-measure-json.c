/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* JSON that measure reads from others: launch plans and stored firmware metadata. */

#include <stdint.h>
#include <stdlib.h>

#include "json.h"
#include "measure-metadata.h"
#include "plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *bad_text = NULL, *bad_plan = NULL, *bad_metadata = NULL;
        _cleanup_(firmware_image_done) FirmwareImage image = {};
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        _cleanup_js_ Json *j = NULL, *again = NULL;

        if (js_parse((const char *) data, size, &j, &bad_text) < 0)
                return 0;
        if (launch_plan_from_json(j, &plan, &bad_plan) < 0 && !bad_plan)
                abort();
        if (firmware_metadata_from_json(j, &image, &bad_metadata) < 0) {
                if (!bad_metadata)
                        abort();
        } else if (image.has_chain && firmware_metadata_to_json(&image, &again, NULL) < 0)
                abort();
        return 0;
}
