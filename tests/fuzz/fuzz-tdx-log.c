/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Event logs of TDs: a refusal has a sentence; each event that is accepted has a name, a register and data inside the log. */

#include <stdint.h>
#include <stdlib.h>

#include "macro.h"
#include "tdx-log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(tdx_log_done) TdxLog log = {};
        _cleanup_free_ char *error = NULL;
        unsigned acpi = 0;

        if (tdx_log_parse(data, size, &log, &error) < 0) {
                if (!error)
                        abort();
                return 0;
        }
        FOREACH_ARRAY(e, log.events, log.n_events) {
                _cleanup_free_ char *name = tdx_event_name(e, acpi);

                if (!name || !name[0] || e->rtmr >= TDX_RTMRS || e->data < data ||
                                e->data + e->size > data + size)
                        abort();
                acpi += tdx_event_is_acpi(e);
        }
        return 0;
}
