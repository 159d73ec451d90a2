/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel, QEMU and firmware that are forecast for. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "encode.h"
#include "error.h"
#include "fd.h"
#include "firmware-ovmf.h"
#include "forecast.h"
#include "input.h"
#include "process.h"
#include "strutil.h"

#define FIRMWARE_MAX  (64u * 1024u * 1024u)
#define FIRMWARE_UNIT 4096u
#define HOST_CAPS_MAX (1024u * 1024u)
#define ANSWER_MAX    (1024u * 1024u)
#define QEMU          "qemu-system-x86_64"

void forecast_world_done(ForecastWorld *w) {
        FOREACH_ARRAY(x, w->images, w->n_images) {
                free(x->name);
                free(x->sha256);
                firmware_image_done(&x->image);
        }
        FOREACH_ARRAY(p, w->packages, w->n_packages) {
                free(p->installed);
                free(p->candidate);
        }
        free(w->images);
        free(w->firmware);
        free(w->packages);
        free(w->kernel_name);
        free(w->qemu_name);
        *w = (ForecastWorld) {};
}

int forecast_world_set(ForecastWorld *w, ForecastSubject subject, const char *name, const char *what,
                char **reterr) {
        bool qemu = subject == FORECAST_QEMU;
        char **place = qemu ? &w->qemu_name : &w->kernel_name;
        int r = software_version_parse(name, qemu ? &w->qemu : &w->kernel);

        if (r == -EINVAL)
                return error_set(reterr, r, "%s'%s' is not a %s", what, name,
                                qemu ? "version of QEMU such as 10.0.2" : "kernel release such as 6.12.43");
        if (r < 0)
                return r;
        free(*place);
        *place = strdup(name);
        return *place ? 0 : -ENOMEM;
}

/* --- programs -------------------------------------------------------------------------------------------------------- */

static int enter(void *userdata) {
        return userdata && chdir(userdata) < 0 ? -errno : 0;
}

/* The last line of what it said. */
static int failed(const char *program, int err, char **reterr) {
        _cleanup_free_ char *text = NULL;
        char *line;
        size_t n;

        if (lseek(err, 0, SEEK_SET) < 0 || fd_read_all(err, ANSWER_MAX, &text, &n) < 0)
                return error_set(reterr, -EIO, "%s failed", program);
        while (n > 0 && text[n - 1] == '\n')
                text[--n] = 0;
        line = memrchr(text, '\n', n);
        line = line ? line + 1 : text;
        text_flatten(line, 300);
        return error_set(reterr, -EIO, "%s failed%s%s", program, line[0] ? ": " : "", line);
}

static int add_words(char ***words, char *const *argv) {
        int r = strv_push(words, "env");

        if (r >= 0)
                r = strv_push(words, "LC_ALL=C");
        STRV_FOREACH(s, argv)
                if (r >= 0)
                        r = strv_push(words, *s);
        return r;
}

int forecast_run(const char *folder, char *const *argv, char **ret, char **reterr) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_close_ int out = memfd_new("answer"), err = memfd_new("messages");
        _cleanup_(process_done) Process p = PROCESS_NONE;
        ProcessSpec spec = { .file = "env",
                .stdin_fd = -EBADF,
                .stdout_fd = out,
                .stderr_fd = err,
                .prepare = enter,
                .userdata = (char *) folder };
        siginfo_t status;
        size_t n;
        int r = process_find_program(argv[0], &path);

        if (out < 0 || err < 0)
                return -ENOMEM;
        if (r >= 0 && !path)
                r = -ENOENT;
        if (r >= 0)
                r = add_words(&words, argv);
        if (r < 0)
                return r;
        spec.argv = words;
        r = process_spawn(&spec, &p, reterr);
        if (r >= 0)
                r = process_wait(&p, UINT64_MAX, &status);
        if (r < 0)
                return r;
        if (status.si_code != CLD_EXITED || status.si_status != 0)
                return failed(argv[0], err, reterr);
        if (lseek(out, 0, SEEK_SET) < 0)
                return -errno;
        r = fd_read_all(out, ANSWER_MAX, &text, &n);
        if (r >= 0)
                *ret = TAKE_PTR(text);
        return r;
}

/* --- another host ---------------------------------------------------------------------------------------------------- */

/* check-host's line about a subject, after its beginning: "Linux 6.12.43", "version 10.0.2 with sev-snp-guest". */
static char *line_of_host(const Json *checks, const char *subject, const char *begin) {
        for (size_t i = 0; i < js_length(checks); i++) {
                const char *s = js_string_value(js_get(js_at(checks, i), "subject")),
                           *said = js_string_value(js_get(js_at(checks, i), "text")),
                           *version = said ? startswith(said, begin) : NULL;

                if (version && streq_ptr(s, subject))
                        return strndup(version, strcspn(version, " ,;:"));
        }
        return NULL;
}

static int read_host_caps(const char *path, ForecastWorld *w, char **reterr) {
        _cleanup_free_ char *text = NULL, *kernel = NULL, *qemu = NULL;
        _cleanup_js_ Json *j = NULL;
        size_t size;
        int r = input_read("host-caps", path, HOST_CAPS_MAX, &text, &size, reterr);

        if (r >= 0)
                r = js_parse(text, size, &j, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--host-caps: %s", path);
        kernel = line_of_host(js_get(j, "checks"), "kernel", "Linux ");
        qemu = line_of_host(js_get(j, "checks"), "QEMU", "version ");
        if (!kernel)
                return error_set(reterr, -EINVAL,
                                "--host-caps: '%s' names no kernel; expected what 'cvmspawn check-host --json' prints",
                                path);
        r = forecast_world_set(w, FORECAST_KERNEL, kernel, "", reterr);
        return r < 0 || !qemu ? r : forecast_world_set(w, FORECAST_QEMU, qemu, "", reterr);
}

/* --- this host ------------------------------------------------------------------------------------------------------- */

static int ask_kernel(ForecastWorld *w, char **reterr) {
        struct utsname u;

        return uname(&u) < 0 ? -errno : forecast_world_set(w, FORECAST_KERNEL, u.release, "", reterr);
}

/* QEMU may be elsewhere, and --qemu= names its version. */
static int ask_qemu(ForecastWorld *w, char **reterr) {
        char *const argv[] = { (char *) QEMU, (char *) "--version", NULL };
        _cleanup_free_ char *text = NULL, *error = NULL, *version = NULL;
        const char *begin;
        int r = forecast_run(NULL, argv, &text, &error);

        if (r == -ENOMEM)
                return r;
        begin = r < 0 ? NULL : strstr(text, "version ");
        if (!begin)
                return 0;
        begin += strlen("version ");
        version = strndup(begin, strcspn(begin, " \n"));
        if (!version)
                return -ENOMEM;
        r = forecast_world_set(w, FORECAST_QEMU, version, QEMU " --version: ", &error);
        return r == -EINVAL ? error_set(reterr, r, "%s; name it with --qemu=", error) : r;
}

int forecast_world_add_image(ForecastWorld *w, const char *option, const char *path, char **reterr) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *data = NULL;
        _cleanup_(plan_input_done) PlanInput in = {};
        _cleanup_close_ int fd = -EBADF;
        ForecastImage *grown, *x;
        size_t size;
        int r = input_read(option, path, FIRMWARE_MAX, &data, &size, reterr);

        if (r >= 0 && (size == 0 || size % FIRMWARE_UNIT != 0))
                r = error_set(reterr, -EINVAL,
                                "--%s: '%s' is %zu bytes; a firmware image is a multiple of %u bytes",
                                option, path, size, FIRMWARE_UNIT);
        else if (r >= 0 && !ovmf_has_table((const uint8_t *) data, size)) {
                r = ovmf_explain_other((const uint8_t *) data, size, reterr);
                r = error_prefix(reterr, r, "--%s: '%s'", option, path);
        }
        if (r < 0)
                return r;
        grown = reallocarray(w->images, w->n_images + 1, sizeof(ForecastImage));
        if (!grown)
                return -ENOMEM;
        w->images = grown;
        x = grown + w->n_images++;
        *x = (ForecastImage) { .name = strdup(slash ? slash + 1 : path) };
        fd = memfd_new_sealed("firmware", data, size);
        if (fd < 0 || !x->name)
                return fd < 0 ? fd : -ENOMEM;
        r = plan_input_add(&in, path, fd, 0, size);
        if (r >= 0)
                r = firmware_image_load(&in, FIRMWARE_SHA256 | FIRMWARE_SNP, &x->image, reterr);
        if (r < 0)
                return r;
        x->sha256 = hex_encode(x->image.digest.sha256, SHA256_SIZE);
        return x->sha256 ? 0 : -ENOMEM;
}

int forecast_world_find(const ForecastArguments *a, ForecastWorld *w, char **reterr) {
        int r = a->host_caps        ? read_host_caps(a->host_caps, w, reterr)
                        : a->kernel ? forecast_world_set(w, FORECAST_KERNEL, a->kernel, "--kernel: ", reterr)
                                    : ask_kernel(w, reterr);

        if (r >= 0 && a->qemu)
                r = forecast_world_set(w, FORECAST_QEMU, a->qemu, "--qemu: ", reterr);
        else if (r >= 0 && !a->host_caps)
                r = ask_qemu(w, reterr);
        if (r >= 0 && a->firmware)
                r = forecast_world_add_image(w, "firmware", a->firmware, reterr);
        return r;
}
