/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A measurement as JSON: the digest, every input with size and hash, intermediate digests, every parameter that enters, and who computed
 * it. In the short style the text is canonical: the same measurement gives the same bytes. */

#include "json.h"
#include "measure-context.h"

/* One row; or, with `rows` (taken), many: then spec, cpu and digest are NULL. */
_warn_unused_result_ int measure_report(const MeasureContext *c, const LaunchSpec *spec,
                const MeasureCpu *cpu, const LaunchDigest *digest, Json *rows, Json **ret, char **reterr);
/* {"vcpus","cpu-model","vcpu-sig","digest"} */
_warn_unused_result_ int measure_report_row(const MeasureContext *c, unsigned vcpus, const MeasureCpu *cpu,
                const LaunchDigest *digest, Json **ret);
