/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For refs-export.c: the formats that have a file each. */

#include "refs-export.h"
#include "strutil.h"

_warn_unused_result_ int refs_export_corim(
                const RefsBundle *b, const RefsExportOptions *options, Text *t, char **reterr);
_warn_unused_result_ int refs_export_rego(
                const RefsBundle *b, const RefsExportOptions *options, Text *t, char **reterr);
_warn_unused_result_ int refs_export_contrast(
                const RefsBundle *b, const RefsExportOptions *options, Text *t, char **reterr);
_warn_unused_result_ int refs_export_id_blocks(
                const RefsBundle *b, const RefsExportOptions *options, Text *t, char **reterr);
_warn_unused_result_ int refs_export_veraison(
                const RefsBundle *b, const RefsExportOptions *options, Text *t, char **reterr);
_warn_unused_result_ int refs_export_cel(
                const RefsBundle *b, const RefsExportOptions *options, Text *t, char **reterr);
_warn_unused_result_ int refs_export_contrast_family(
                const RefsBundle *b, const RefsExportOptions *options, Text *t, char **reterr);
_warn_unused_result_ int refs_export_c8s(
                const RefsBundle *b, const RefsExportOptions *options, Text *t, char **reterr);
_warn_unused_result_ int refs_export_tinfoil(
                const RefsBundle *b, const RefsExportOptions *options, Text *t, char **reterr);

/* The only generation with a floor, and their number; _INVALID if there is none or more than one. */
SnpGeneration refs_only_generation(const RefsBundle *b, unsigned *ret_n);
