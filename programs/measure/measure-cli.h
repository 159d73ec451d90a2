/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the measure program share: the options and the ways to print. */

#include <stdbool.h>

#include "foreign.h"
#include "json.h"
#include "measure-arguments.h"
#include "measure-context.h"
#include "measure-format.h"
#include "measure-request.h"
#include "verb.h"

/* A positive result besides 0: the program's exit status. */
#define MEASURE_DIFFERENT 3

/* LAUNCH_MEASURE of SEV and SEV-ES. */
typedef struct HmacArguments {
        char *tik, *nonce, *launch_measure, *policy, *api_major, *api_minor, *build_id;
        char *launch_digest; /* in place of computing one */
} HmacArguments;

typedef struct CliArguments {
        MeasureArguments measure;
        HmacArguments hmac;
        char *output_format; /* hex, base64 */
        char *expect;
        char *batch;
        char *igvm;
        char *from_qemu, *from_incus, *from_kata, *from_kubevirt, *from_libvirt, *from_openstack,
                        *from_vmspawn;
        char *initdata;           /* with from_kata */
        char *flavor, *server;    /* with from_openstack */
        char **glance;            /* the same */
        char *from_ccel;          /* the event log of a TD */
        char **assume_unmeasured; /* of a foreign line: names that change no measured byte */
        unsigned launch;          /* which of several lines, from 1 on; 0: the only one */
        bool verify_by_launch, whole_kernel,
                        other_launcher; /* the last: one of from_* described the launch */
        char *qemu;                     /* for --verify-by-launch */
        ForeignResult foreign;          /* what a foreign line gave besides options */
        char *plan_fd;
        char *name, *sign_key;
        MeasureFormat format;
        bool disk_read_only, family, explain, verbose, dump_vmsa, ignore_id_block;
        VerbCommon common;
} CliArguments;

extern const OptionTable measure_options;
/* -EINVAL if argv has an option that only the other dialect knows. */
_warn_unused_result_ int dialect_check(char *const *argv, bool coco, char **reterr);
/* With the digests of all inputs where the answer has them (--family), else from the cache. */
struct MeasureCache;
_warn_unused_result_ int load_context(struct MeasureCache *cache, const MeasureRequest *request,
                MeasureContext *ret, char **reterr);
/* One result on standard output, as the options ask: text, JSON or step by step. */
_warn_unused_result_ int print_measurement(const CliArguments *a, const MeasureContext *c, char **reterr);
/* The same as JSON; *ret is owned. */
_warn_unused_result_ int measurement_json(const MeasureContext *c, Json **ret, char **reterr);
/* A table of rows; `files` follows the digests: "", or a blank and names. */
_warn_unused_result_ int print_table_head(const char *files);
_warn_unused_result_ int print_table_rows(
                const CliArguments *a, const MeasureContext *c, const char *files, char **reterr);
/* A list of files in --ovmf= and --kernel=: a comma stands between names, unless a file has the whole text as its name. *ret is owned,
 * and NULL if it is one file or none. */
_warn_unused_result_ int file_list(const char *option, const char *text, char ***ret, char **reterr);
/* All combinations of the files that are lists, as one table. */
_warn_unused_result_ int measure_lists(
                CliArguments *a, char *const *ovmfs, char *const *kernels, char **reterr);
/* What stands on another launcher's line against the launch: too little memory for its firmware, an ID block that expects another
 * digest, a launch by a real QEMU on the simulated host. */
_warn_unused_result_ int check_foreign(const CliArguments *a, const MeasureContext *context, char **reterr);
/* HMAC | nonce in base64; MEASURE_DIFFERENT if one was given and differs. */
_warn_unused_result_ int print_launch_measure(
                const HmacArguments *h, const LaunchDigest *digest, char **reterr);
/* Compares and searches for what would give the expected digest: 0 or MEASURE_DIFFERENT. argv is that of the program, for the command
 * to run next. */
_warn_unused_result_ int print_expectation(
                const CliArguments *a, const MeasureContext *c, char *const *argv, char **reterr);
struct ExpectResult;
/* An option of the search in the dialect of argv: owned; NULL where it has none. */
char *next_option(char *const *argv, const char *option);
/* The command that gives the digest of an answer; without an answer, the one that explains the launch page by page. *ret is owned. */
_warn_unused_result_ int next_command(const CliArguments *a, const MeasureContext *c, char *const *argv,
                const struct ExpectResult *r, char **ret);
/* The launcher's dialect: --coco= stands in argv. */
bool coco_requested(char *const *argv);
/* Parts argv into this program's options and the launcher's, both with argv[0]. */
_warn_unused_result_ int coco_split(char *const *argv, char ***ret_own, char ***ret_launcher);
struct LaunchInputs;
/* inputs own the descriptors of the request and are the caller's to free. */
_warn_unused_result_ int coco_request(char **launcher, CliArguments *a, struct LaunchInputs *inputs,
                MeasureRequest *ret, char **reterr);
/* One launch per line of a file; the command line's options stand where a line says nothing. A bad line is reported as a row. Returns
 * the exit status: 1 if a line is bad, else MEASURE_DIFFERENT if a digest differs from what was expected, else 0. */
_warn_unused_result_ int measure_batch(const CliArguments *a, char **reterr);
/* RTMR0 to RTMR2 of a TD: asked for at all; as a log has them; predicted, and compared with a log. */
bool registers_wanted(const CliArguments *a);
_warn_unused_result_ int measure_log(const CliArguments *a, char **reterr);
_warn_unused_result_ int print_registers(const CliArguments *a, const MeasureContext *c, char **reterr);
_warn_unused_result_ int measure_igvm(const CliArguments *a, char **reterr);
/* A LaunchTrace: one line a step. */
int print_step(void *userdata, const LaunchStep *step);
_warn_unused_result_ int print_format(const CliArguments *a, const MeasureContext *c, char **reterr);
/* Arguments behind the options: FLAVOR and SERVER of --from-openstack=. */
_warn_unused_result_ int take_words(CliArguments *a, char *const *words, char **reterr);
/* Fills what was not given from another launcher's description. */
_warn_unused_result_ int read_other_launcher(CliArguments *a, char **reterr);
/* --from-vmspawn=: its command line as the launcher's options; *ret is owned. *ret_whole_kernel: --linux is a unified kernel image that QEMU
 * gets as it is. */
_warn_unused_result_ int vmspawn_launcher_options(const char *text, const char *program,
                char *const *assumed, char ***ret, bool *ret_whole_kernel, char **reterr);
/* Where that launch, recorded in a folder, first differs from what is computed: *ret is owned, NULL if its pages do not. */
_warn_unused_result_ int launched_difference(const char *folder, const MeasureContext *context,
                const LaunchSpec *spec, char **ret, char **reterr);
/* A copy of argv with the peer's options written out; owned. */
_warn_unused_result_ int expand_abbreviations(char *const *argv, char ***ret);
/* vmsa0.bin ... in the working directory. */
_warn_unused_result_ int dump_vmsas(const MeasureContext *c, char **reterr);
