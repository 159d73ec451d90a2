/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "fd.h"
#include "input.h"
#include "json.h"
#include "sevsim-report.h"
#include "strutil.h"

#define FILE_SIZE_MAX ((size_t) 16 << 20) /* a launch of a thousand vCPUs has lines for half a megabyte */
#define SECRETS_MAX   64u
#define SAYS          "sevsim (simulation): "

static void launch_done(SevsimLaunch *l) {
        free(l->name);
        free(l->folder);
        free(l->vm_type);
        free(l->digest);
        free(l->measurement);
        strv_free(l->secrets);
        strv_free(l->refused);
        *l = (SevsimLaunch) {};
}

void sevsim_report_done(SevsimReport *report) {
        FOREACH_ARRAY(l, report->launches, report->n_launches)
                launch_done(l);
        free(report->launches);
        free(report->predicted);
        *report = (SevsimReport) {};
}

/* The first line of a small file, or NULL if it is not there. */
static int read_line(const char *folder, const char *name, char **ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t size;
        int r;

        if (asprintf(&path, "%s/%s", folder, name) < 0)
                return -ENOMEM;
        r = file_read_all(path, FILE_SIZE_MAX, &text, &size);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        text[strcspn(text, "\n")] = 0;
        *ret = TAKE_PTR(text);
        return 0;
}

static int read_secrets(SevsimLaunch *l, const Json *line) {
        for (unsigned i = 0; i < SECRETS_MAX; i++) {
                char key[32], size_key[40];
                const char *guid;
                uint64_t size;
                int r;

                (void) snprintf(key, sizeof(key), "secret_%u", i);
                (void) snprintf(size_key, sizeof(size_key), "secret_%u_size", i);
                guid = js_string_value(js_get(line, key));
                if (!guid || js_u64_value(js_get(line, size_key), &size) < 0)
                        break;
                r = strv_pushf(&l->secrets, "%s, %llu bytes", guid, (unsigned long long) size);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_command(SevsimLaunch *l, const char *text, char **reterr) {
        _cleanup_js_ Json *line = NULL;
        const char *command, *refused, *vm_type;
        int r = js_parse(text, strlen(text), &line, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "%s/commands.jsonl", l->folder);
        command = js_string_value(js_get(line, "command")) ?: "?";
        refused = js_string_value(js_get(line, "refused"));
        vm_type = js_string_value(js_get(line, "vm_type"));
        l->commands++;

        if (vm_type && !l->vm_type) {
                l->vm_type = strdup(vm_type);
                if (!l->vm_type)
                        return -ENOMEM;
        }
        if (refused)
                r = strv_pushf(&l->refused, "%s: %s", command, refused);
        else if (streq(command, "LAUNCH_SECRET"))
                r = read_secrets(l, line);
        else if (endswith(command, "LAUNCH_FINISH") || streq(command, "TDX_FINALIZE_VM"))
                l->finished = true;
        return r;
}

static int read_launch(const char *record, const char *name, SevsimLaunch *l, char **reterr) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_strv_free_ char **lines = NULL;
        size_t size;
        int r;

        l->name = strdup(name);
        if (!l->name || asprintf(&l->folder, "%s/%s", record, name) < 0 ||
                        asprintf(&path, "%s/commands.jsonl", l->folder) < 0)
                return -ENOMEM;
        r = input_read(NULL, path, FILE_SIZE_MAX, &text, &size, reterr);
        if (r < 0)
                return r;
        r = strv_split(text, '\n', &lines);
        STRV_FOREACH(line, lines)
                if (r >= 0 && **line)
                        r = read_command(l, *line, reterr);
        if (r >= 0)
                r = read_line(l->folder, "digest", &l->digest);
        if (r >= 0)
                r = read_line(l->folder, "measurement", &l->measurement);
        return r;
}

static int is_launch(const struct dirent *e) {
        return startswith(e->d_name, "launch-") ? 1 : 0;
}

int sevsim_report_read(const char *record, unsigned before, const char *predicted, SevsimReport *ret,
                char **reterr) {
        _cleanup_(sevsim_report_done) SevsimReport report = {};
        struct dirent **entries = NULL;
        int n = scandir(record, &entries, is_launch, alphasort), r = 0;

        if (n < 0)
                return error_set(reterr, -errno, "cannot read the record folder '%s': %m", record);
        report.launches = calloc((size_t) n + 1, sizeof(SevsimLaunch));
        if (!report.launches)
                r = -ENOMEM;
        for (int i = (int) before; i < n && r >= 0; i++)
                r = read_launch(record, entries[i]->d_name, &report.launches[report.n_launches++], reterr);
        for (int i = 0; i < n; i++)
                free(entries[i]);
        free(entries);

        if (r >= 0 && predicted && !(report.predicted = strdup(predicted)))
                r = -ENOMEM;
        if (r >= 0 && !predicted)
                r = read_line(record, "predicted-digest", &report.predicted);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(report, (SevsimReport) {});
        return 0;
}

SevsimMatch sevsim_report_match(const SevsimReport *report) {
        if (!report->predicted || report->n_launches == 0)
                return SEVSIM_MATCH_UNKNOWN;
        FOREACH_ARRAY(l, report->launches, report->n_launches)
                if (!streq_ptr(l->digest, report->predicted))
                        return SEVSIM_MATCH_DIFFERENT;
        return SEVSIM_MATCH_EQUAL;
}

/* What the technology calls its launch digest. */
static const char *digest_noun(const SevsimLaunch *l) {
        return l->vm_type && streq(l->vm_type, "TDX") ? "MRTD" : "digest";
}

static void print_launch(const SevsimLaunch *l, bool kept, FILE *f) {
        fprintf(f, SAYS "%s: %s, %zu commands recorded%s%s\n", l->name,
                        l->vm_type ?: "a guest without memory encryption", l->commands, kept ? " in " : "",
                        kept ? l->folder : "");
        STRV_FOREACH(refused, l->refused)
                fprintf(f, SAYS "%s: refused %s\n", l->name, *refused);
        STRV_FOREACH(secret, l->secrets)
                fprintf(f, SAYS "%s: secret %s\n", l->name, *secret);
        if (l->measurement)
                fprintf(f, SAYS "%s: measurement %s\n", l->name, l->measurement);
        fprintf(f,
                        l->finished ? SAYS
                                        "%s: the launch is complete; from here on, hardware runs the guest's code, encrypted, and the simulation does not\n"
                                    : SAYS "%s: the launch did not finish\n",
                        l->name);
        fprintf(f, SAYS "%s: recorded %s %s\n", l->name, digest_noun(l), l->digest ?: "none");
}

void sevsim_report_print(const SevsimReport *report, bool kept, FILE *f) {
        const char *noun;

        if (report->n_launches == 0)
                fprintf(f, SAYS "no launch was recorded\n");
        FOREACH_ARRAY(l, report->launches, report->n_launches)
                print_launch(l, kept, f);

        if (!report->predicted)
                return;
        noun = report->n_launches > 0 ? digest_noun(report->launches) : "digest";
        fprintf(f, SAYS "predicted %s %s\n", noun, report->predicted);
        if (report->n_launches > 0)
                fprintf(f, SAYS "recorded %s %s predicted %s\n", noun,
                                sevsim_report_match(report) == SEVSIM_MATCH_EQUAL ? "=" : "differs from",
                                noun);
}

static int launch_json(const SevsimLaunch *l, Json **ret) {
        return js_build(ret, "{s:s, s:s, s:s?, s:s?, s:s?, s:I, s:b, s:o, s:o}", "name", l->name, "folder",
                        l->folder, "vm-type", l->vm_type, "digest", l->digest, "measurement", l->measurement,
                        "commands", (long long) l->commands, "finished", l->finished, "refused",
                        js_strv(l->refused), "secrets", js_strv(l->secrets));
}

int sevsim_report_json(const SevsimReport *report, JsStyle style, int status, char **ret) {
        SevsimMatch match = sevsim_report_match(report);
        _cleanup_js_ Json *j = NULL, *launches = js_array();
        int r = launches ? 0 : -ENOMEM;

        FOREACH_ARRAY(l, report->launches, report->n_launches) {
                Json *launch = NULL;

                if (r >= 0)
                        r = launch_json(l, &launch);
                if (r >= 0)
                        r = js_append(launches, launch);
        }
        if (r >= 0)
                r = js_build(&j, "{s:b, s:I, s:s?, s:o, s:O}", "simulation", true, "status",
                                (long long) status, "predicted", report->predicted, "equal",
                                match == SEVSIM_MATCH_UNKNOWN ? js_null()
                                                              : js_bool(match == SEVSIM_MATCH_EQUAL),
                                "launches", launches);
        if (r < 0)
                return r;
        *ret = js_text(j, style);
        return *ret ? 0 : -ENOMEM;
}
