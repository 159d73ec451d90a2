/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "strutil.h"

static void copy_done(LaunchCopy *copy) {
        (void) fd_close(copy->from);
        free(copy->name);
}

void launch_inputs_drop_copies(LaunchInputs *in) {
        FOREACH_ARRAY(copy, in->copies, in->n_copies)
                copy_done(copy);
        free(in->copies);
        in->copies = NULL;
        in->n_copies = 0;
}

void launch_inputs_done(LaunchInputs *in) {
        launch_plan_done(&in->plan);
        free(in->firmware);
        free(in->nvram);
        free(in->firmware_descriptor);
        free(in->kernel);
        free(in->initrd);
        free(in->cmdline);
        free(in->host_data);
        free(in->digest);
        free(in->mrconfigid);
        free(in->mrowner);
        free(in->mrownerconfig);
        free(in->id_block);
        free(in->id_auth);
        free(in->dh_cert);
        free(in->session);
        FOREACH_ARRAY(s, in->strings, in->n_strings) {
                free(s->name);
                (void) fd_close(s->fd);
        }
        free(in->strings);
        for (size_t i = 0; i < in->n_fds; i++)
                (void) fd_close(in->fds[i]);
        launch_inputs_drop_copies(in);
        strv_free(in->shares);
        strv_free(in->notices);
        *in = (LaunchInputs) {};
}

static int move_fd(int fd, int number) {
        int r = 0;

        if (fd == number)
                return 0;
        if (dup3(fd, number, O_CLOEXEC) < 0)
                r = -errno;
        (void) fd_close(fd);
        return r;
}

int launch_inputs_keep_fd(LaunchInputs *in, int fd, LaunchFd number) {
        int r;

        assert(in->n_fds < ELEMENTSOF(in->fds));

        r = move_fd(fd, (int) number);
        if (r < 0)
                return r;
        in->fds[in->n_fds++] = (int) number;
        return 0;
}

int launch_inputs_new_file(LaunchInputs *in, uint64_t size, LaunchFd number, char **ret_path) {
        _cleanup_close_ int fd = memfd_new("cvmspawn-copy");
        char *path;

        if (fd < 0)
                return fd;
        if (size > INT64_MAX || ftruncate(fd, (off_t) size) < 0)
                return -EFBIG;
        if (asprintf(&path, "/proc/self/fd/%d", (int) number) < 0)
                return -ENOMEM;
        free(*ret_path);
        *ret_path = path;
        return launch_inputs_keep_fd(in, TAKE_FD(fd), number);
}

int launch_inputs_add_copy(LaunchInputs *in, LaunchCopy copy) {
        LaunchCopy *copies = reallocarray(in->copies, in->n_copies + 1, sizeof(LaunchCopy));

        if (!copies || !copy.name) {
                if (copies)
                        in->copies = copies;
                copy_done(&copy);
                return -ENOMEM;
        }
        in->copies = copies;
        in->copies[in->n_copies++] = copy;
        return 0;
}

int launch_inputs_keep_text(LaunchInputs *in, const char *text, LaunchFd number, char **ret) {
        _cleanup_free_ char *path = NULL;
        int fd, r;

        if (asprintf(&path, "/proc/self/fd/%d", (int) number) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        fd = memfd_new_sealed("cvmspawn-owner", text, strlen(text));
        if (fd < 0)
                return fd;
        r = launch_inputs_keep_fd(in, fd, number);
        if (r < 0)
                return r;
        free(*ret);
        *ret = TAKE_PTR(path);
        return 0;
}

int launch_inputs_add_string(
                LaunchInputs *in, StringKind kind, const char *name, const void *text, size_t size) {
        int number = LAUNCH_FD_STRINGS + (int) in->n_strings, fd, r;
        LaunchString *strings;
        _cleanup_free_ char *copy = NULL;

        if (number >= LAUNCH_FD_STRINGS_MAX)
                return -E2BIG;
        if (name) {
                copy = strdup(name);
                if (!copy)
                        return -ENOMEM;
        }
        strings = reallocarray(in->strings, in->n_strings + 1, sizeof(LaunchString));
        if (!strings)
                return -ENOMEM;
        in->strings = strings;

        fd = memfd_new_sealed("cvmspawn-string", text, size);
        if (fd < 0)
                return fd;
        r = move_fd(fd, number);
        if (r < 0)
                return r;
        in->strings[in->n_strings++] = (LaunchString) { .kind = kind, .name = TAKE_PTR(copy), .fd = number };
        return 0;
}

void host_caps_done(HostCaps *caps) {
        free(caps->kvm_reason);
        free(caps->qemu);
        free(caps->swtpm);
        free(caps->virtiofsd);
        free(caps->quote_socket);
        *caps = (HostCaps) {};
}

int host_caps_to_json(const HostCaps *caps, Json **ret) {
        _cleanup_js_ Json *j = NULL;
        int r = js_build(&j, "{s:b, s:s?}", "kvm", caps->kvm, "kvm-reason", caps->kvm_reason);

        for (int m = COCO_NONE + 1; r >= 0 && m < _COCO_MODE_MAX; m++)
                r = js_set(j, coco_mode_to_string((CocoMode) m), js_bool(caps->has[m]));
        if (r >= 0)
                r = js_set(j, "cbitpos", js_u64(caps->sev.cbitpos));
        if (r >= 0)
                r = js_set(j, "reduced-phys-bits", js_u64(caps->sev.reduced_phys_bits));
        if (r >= 0)
                r = js_set(j, "qemu", caps->qemu ? js_string(caps->qemu) : js_null());
        if (r >= 0)
                r = js_set(j, "swtpm", caps->swtpm ? js_string(caps->swtpm) : js_null());
        if (r >= 0)
                r = js_set(j, "virtiofsd", caps->virtiofsd ? js_string(caps->virtiofsd) : js_null());
        if (r >= 0)
                r = js_set(j, "vsock", js_bool(caps->vsock));
        if (r >= 0)
                r = js_set(j, "monitor-object", js_bool(caps->monitor_object));
        if (r >= 0 && caps->quote_socket)
                r = js_set(j, "quote-socket", js_string(caps->quote_socket));
        if (r >= 0 && caps->sev.snp_policy_bits > 0)
                r = js_set(j, "snp-policy-bits", js_u64(caps->sev.snp_policy_bits));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

static int read_optional_string(const Json *value, void *target, char **reterr) {
        char **p = target, *copy;

        if (js_is_null(value))
                return 0;
        if (!js_string_value(value))
                return error_set(reterr, -EINVAL, "expected a string or null");
        copy = strdup(js_string_value(value));
        if (!copy)
                return -ENOMEM;
        free(*p);
        *p = copy;
        return 0;
}

int host_caps_from_json(const Json *j, HostCaps *ret, char **reterr) {
        static const JsField kvm[] = {
                { "kvm", JS_FIELD_BOOL, offsetof(HostCaps, kvm), true, NULL },
                { "kvm-reason", JS_FIELD_CUSTOM, offsetof(HostCaps, kvm_reason), false,
                                read_optional_string },
        };
        static const JsField others[] = {
                { "cbitpos", JS_FIELD_UNSIGNED, offsetof(HostCaps, sev.cbitpos), true, NULL },
                { "reduced-phys-bits", JS_FIELD_UNSIGNED, offsetof(HostCaps, sev.reduced_phys_bits), true,
                                NULL },
                { "qemu", JS_FIELD_CUSTOM, offsetof(HostCaps, qemu), false, read_optional_string },
                { "swtpm", JS_FIELD_CUSTOM, offsetof(HostCaps, swtpm), false, read_optional_string },
                { "virtiofsd", JS_FIELD_CUSTOM, offsetof(HostCaps, virtiofsd), false, read_optional_string },
                { "quote-socket", JS_FIELD_CUSTOM, offsetof(HostCaps, quote_socket), false,
                                read_optional_string },
                { "snp-policy-bits", JS_FIELD_U64, offsetof(HostCaps, sev.snp_policy_bits), false, NULL },
                { "vsock", JS_FIELD_BOOL, offsetof(HostCaps, vsock), false, NULL },
                { "monitor-object", JS_FIELD_BOOL, offsetof(HostCaps, monitor_object), false, NULL },
        };
        _cleanup_(host_caps_done) HostCaps caps = {};
        JsField fields[ELEMENTSOF(kvm) + _COCO_MODE_MAX + ELEMENTSOF(others)];
        size_t n = ELEMENTSOF(kvm);
        int r;

        memcpy(fields, kvm, sizeof(kvm));
        for (size_t m = COCO_NONE + 1; m < _COCO_MODE_MAX; m++)
                fields[n++] = (JsField) { coco_mode_to_string((CocoMode) m), JS_FIELD_BOOL,
                        offsetof(HostCaps, has) + m * sizeof(bool),
                        /* required= */ coco_of((CocoMode) m)->host.vendor == COCO_VENDOR_AMD, NULL };
        memcpy(fields + n, others, sizeof(others));
        n += ELEMENTSOF(others);
        r = js_dispatch(j, fields, n, /* foreign= */ true, &caps, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(caps, (HostCaps) {});
        return 0;
}
