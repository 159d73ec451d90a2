/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --from-qemu=, --from-libvirt=, --from-vmspawn=: another launcher's description of a guest in place of options; options that are given
 * override it. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "firmware-descriptor.h"
#include "input.h"
#include "libvirt-xml.h"
#include "log.h"
#include "measure-cli.h"
#include "measure-qemu.h"
#include "strutil.h"

/* Command lines of large guests have some tens of KiB. */
#define COMMAND_LINE_MAX (4u * 1024u * 1024u)

/* --- QEMU ------------------------------------------------------------------------------------------------------------ */

static int split_nul(const char *text, size_t size, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;

        for (size_t at = 0; at < size; at += strlen(text + at) + 1) {
                int r = strv_push(&l, text + at);

                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

/* A log holds variables in front of the program. */
static char *const *skip_to_program(char *const *l) {
        STRV_FOREACH(s, l)
                if (strstr(*s, "qemu") && (*s)[0] != '-' && !strchr(*s, '='))
                        return s;
        return l;
}

/* A path as that process sees it: owned. */
static char *process_path(const char *pid, const char *path) {
        const char *fd = startswith(path, "/proc/self/fd/") ?: startswith(path, "/dev/fd/");
        char *s;

        if (!pid || (path[0] == '/' && !fd))
                return strdup(path);
        if (fd)
                return asprintf(&s, "/proc/%s/fd/%s", pid, fd) < 0 ? NULL : s;
        return asprintf(&s, "/proc/%s/cwd/%s", pid, path) < 0 ? NULL : s;
}

static int translate_path(const char *pid, char **path, bool given) {
        char *s;

        if (!pid || given || !*path)
                return 0;
        s = process_path(pid, *path);
        if (!s)
                return -ENOMEM;
        free(*path);
        *path = s;
        return 0;
}

static int from_qemu(const char *what, CliArguments *a, char **reterr) {
        bool is_pid = what[0] && strspn(what, "0123456789") == strlen(what);
        bool ovmf = a->measure.ovmf, kernel = a->measure.kernel, initrd = a->measure.initrd;
        _cleanup_free_ char *path = NULL, *text = NULL, *notice = NULL;
        const char *pid = is_pid ? what : NULL;
        _cleanup_strv_free_ char **l = NULL;
        size_t size;
        int r;

        if (is_pid && asprintf(&path, "/proc/%s/cmdline", what) < 0)
                return -ENOMEM;
        r = input_read("from-qemu", path ?: what, COMMAND_LINE_MAX, &text, &size, reterr);
        if (r < 0)
                return r;
        r = memchr(text, 0, size) ? split_nul(text, size, &l) : shell_split(text, &l, reterr);
        if (r >= 0 && strv_length(l) == 0)
                r = error_set(reterr, -EINVAL, "there is no command line");
        if (r >= 0)
                r = qemu_arguments(skip_to_program(l), &a->measure, &a->igvm, &notice, reterr);
        if (r >= 0)
                r = translate_path(pid, &a->measure.ovmf, ovmf);
        if (r >= 0)
                r = translate_path(pid, &a->measure.kernel, kernel);
        if (r >= 0)
                r = translate_path(pid, &a->measure.initrd, initrd);
        if (r < 0)
                return error_prefix(reterr, r, "--from-qemu");
        if (notice)
                log_warning("%s", notice);
        return 0;
}

/* --- libvirt --------------------------------------------------------------------------------------------------------- */

/* The text at a path, unless the option was given. */
static int take_text(LibvirtXml *x, const char *path, char **to) {
        if (*to)
                return 0;
        return libvirt_xml_text(x, path, to);
}

static int domain_mode(LibvirtXml *x, CliArguments *a, char **reterr) {
        _cleanup_free_ char *type = NULL, *policy = NULL;
        const char *mode = "snp";
        uint64_t bits = 0;
        int r;

        r = libvirt_xml_text(x, "/domain/launchSecurity/@type", &type);
        if (r >= 0)
                r = libvirt_xml_text(x, "/domain/launchSecurity/policy", &policy);
        if (r < 0)
                return r;
        if (!type || (!streq(type, "sev") && !streq(type, "sev-snp")))
                return error_set(reterr, -EINVAL,
                                "the domain has no <launchSecurity> of type sev or sev-snp: it has no "
                                "launch digest");
        if (policy && parse_u64(policy, &bits) < 0)
                return error_set(reterr, -EINVAL, "<policy> '%s' is no number", policy);
        if (streq(type, "sev"))
                mode = bits & 4 ? "seves" : "sev";
        /* libvirt leaves QEMU's default, the legacy VM type. */
        if (streq(mode, "seves") && !a->measure.vmsa) {
                a->measure.vmsa = strdup("qemu-pre-6.10");
                if (!a->measure.vmsa)
                        return -ENOMEM;
        }
        if (!a->measure.mode)
                a->measure.mode = strdup(mode);
        return a->measure.mode ? 0 : -ENOMEM;
}

static int domain_boot(LibvirtXml *x, MeasureArguments *m) {
        _cleanup_free_ char *hashes = NULL;
        int r = libvirt_xml_text(x, "/domain/launchSecurity/@kernelHashes", &hashes);

        if (r < 0 || !streq_ptr(hashes, "yes"))
                return r;
        r = take_text(x, "/domain/os/kernel", &m->kernel);
        if (r >= 0 && m->kernel)
                r = take_text(x, "/domain/os/initrd", &m->initrd);
        if (r >= 0 && m->kernel)
                r = take_text(x, "/domain/os/cmdline", &m->append);
        return r;
}

/* libvirt asks the descriptors where the domain names no file. */
static int domain_firmware(LibvirtXml *x, MeasureArguments *m, char **reterr) {
        char *const features[] = { (char *) (streq(m->mode, "sev") ? "amd-sev"
                                                                   : streq(m->mode, "seves")
                                                                   ? "amd-sev-es"
                                                                   : "amd-sev-snp"),
                NULL };
        FirmwareQuery query = { .architecture = "x86_64",
                .machine = "q35",
                .stateless = true,
                .raw = true,
                .include = features };
        _cleanup_(firmware_list_done) FirmwareList list = {};
        _cleanup_strv_free_ char **directories = NULL;
        const FirmwareDescriptor *d;
        int r;

        r = take_text(x, "/domain/os/loader", &m->ovmf);
        if (r < 0 || m->ovmf)
                return r;
        r = firmware_directories(getenv, &directories);
        if (r >= 0)
                r = firmware_list_load(directories, &list, reterr);
        if (r >= 0)
                r = firmware_choose(&list, &query, &d, reterr);
        if (r < 0)
                return r;
        m->ovmf = strdup(d->executable);
        return m->ovmf ? 0 : -ENOMEM;
}

static int domain_cpu(LibvirtXml *x, MeasureArguments *m) {
        _cleanup_free_ char *mode = NULL;
        int r;

        r = take_text(x, "/domain/vcpu/@current", &m->vcpus);
        if (r >= 0)
                r = take_text(x, "/domain/vcpu", &m->vcpus);
        if (r < 0 || m->vcpu_sig || m->vcpu_family || m->vcpu_type)
                return r;
        r = libvirt_xml_text(x, "/domain/cpu/@mode", &mode);
        if (r >= 0 && mode && !streq(mode, "custom"))
                m->vcpu_type = strdup("host");
        else if (r >= 0)
                r = take_text(x, "/domain/cpu/model", &m->vcpu_type);
        if (r >= 0 && !m->vcpu_type)
                m->vcpu_type = strdup("qemu64");
        return r < 0 ? r : m->vcpu_type ? 0 : -ENOMEM;
}

static int from_libvirt(const char *path, CliArguments *a, char **reterr) {
        _cleanup_libvirt_xml_ LibvirtXml *x = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = input_read("from-libvirt", path, LIBVIRT_XML_SIZE_MAX, &text, &size, reterr);
        if (r < 0)
                return r;
        r = libvirt_xml_parse(text, &x, reterr);
        if (r >= 0)
                r = domain_mode(x, a, reterr);
        if (r >= 0)
                r = domain_boot(x, &a->measure);
        if (r >= 0)
                r = domain_firmware(x, &a->measure, reterr);
        if (r >= 0)
                r = domain_cpu(x, &a->measure);
        return r < 0 ? error_prefix(reterr, r, "--from-libvirt") : 0;
}

int read_other_launcher(CliArguments *a, char **reterr) {
        if (a->from_qemu && a->from_libvirt)
                return error_set(reterr, -EINVAL,
                                "--from-qemu and --from-libvirt say the same: give one of them");
        if (a->from_qemu)
                return from_qemu(a->from_qemu, a, reterr);
        return a->from_libvirt ? from_libvirt(a->from_libvirt, a, reterr) : 0;
}

/* --- systemd-vmspawn ------------------------------------------------------------------------------------------------- */

/* Options of systemd-vmspawn that change nothing that is measured. */
static bool is_conduct(const char *arg) {
        static const char *const names[] = { "--register=", "--keep-unit", "--vsock=", "--pass-ssh-key=",
                "--tpm=", "--notify-ready=", "--console=", "--property=", "--slice=", "--user", "--system",
                "--qemu-gui", "-q", "--quiet", "--network-" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (startswith(arg, names[i]))
                        return true;
        return false;
}

/* What it puts in front of the words: nothing without a console, else names of the terminal. */
static int add_words(char *const *l, char ***words) {
        const char *term = getenv("TERM");
        bool plain = strv_contains(l, "--console=headless") || strv_contains(l, "--console=gui");
        int r = 0;

        if (plain)
                return 0;
        if (term && term[0] && !streq(term, "unknown")) {
                r = strv_pushf(words, "TERM=%s", term);
                if (r >= 0)
                        r = strv_pushf(words, "systemd.tty.term.hvc0=%s", term);
                log_warning("systemd-vmspawn puts $TERM, here '%s', into the measured words: "
                            "--console=headless does without",
                                term);
        }
        return r < 0 ? r : strv_push(words, "console=hvc0");
}

/* The launcher's options in its place: systemd-vmspawn's names are theirs. */
int vmspawn_launcher_options(const char *text, const char *program, char ***ret, char **reterr) {
        _cleanup_strv_free_ char **l = NULL, **out = NULL, **words = NULL;
        bool ended = false;
        size_t first = 0;
        int r;

        r = shell_split(text, &l, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--from-vmspawn");
        if (l && endswith(l[0], "vmspawn"))
                first = 1;
        if (!strv_contains(l, "--pass-ssh-key=no") || !strv_contains(l, "--vsock=no"))
                log_warning("systemd-vmspawn adds a fresh SSH key and a port to the measured initrd unless "
                            "--pass-ssh-key=no and "
                            "--vsock=no are given: a digest without them follows");
        r = strv_push(&out, program);
        if (r >= 0)
                r = strv_push(&out, "--exact-words");
        if (r >= 0)
                r = add_words(l, &words);
        for (size_t i = first; r >= 0 && l && l[i]; i++) {
                if (!ended && streq(l[i], "--"))
                        ended = true;
                else if (ended || l[i][0] != '-')
                        r = strv_push(&words, l[i]);
                else if (!is_conduct(l[i]))
                        r = strv_push(&out, l[i]);
        }
        if (r >= 0)
                r = strv_push(&out, "--");
        STRV_FOREACH(w, words) {
                if (r < 0)
                        break;
                r = strv_push(&out, *w);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(out);
        return 0;
}
