/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The filter of system calls: a classic BPF program, seccomp(2). It is built here and not by seccomp_load(): with libseccomp 2.5 a failing
 * allocation makes that spin for ever, or load a filter that is not the one asked for. Nothing is allocated here; of
 * libseccomp only the table of names is used. */

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"

#define DENY  (SECCOMP_RET_ERRNO | EPERM)
#define ALLOW SECCOMP_RET_ALLOW

#define OFFSET_NUMBER ((uint32_t) offsetof(struct seccomp_data, nr))
#define OFFSET_ARCH   ((uint32_t) offsetof(struct seccomp_data, arch))
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OFFSET_ARG0 ((uint32_t) offsetof(struct seccomp_data, args[0]))
#else
#define OFFSET_ARG0 ((uint32_t) offsetof(struct seccomp_data, args[0]) + 4)
#endif
#define X32_BIT UINT32_C(0x40000000) /* x86-64: the same numbers with other sizes of types */

static_assert(sizeof(ConfineInstruction) == sizeof(struct sock_filter) &&
                                offsetof(ConfineInstruction, k) == offsetof(struct sock_filter, k),
                "seccomp(2)");

static void add(ConfineFilter *f, uint16_t code, uint32_t k, uint8_t yes, uint8_t no) {
        if (f->n < ELEMENTSOF(f->code))
                f->code[f->n] = (ConfineInstruction) { .code = code, .yes = yes, .no = no, .k = k };
        f->n++;
}

static void add_return(ConfineFilter *f, uint32_t value) {
        add(f, BPF_RET | BPF_K, value, 0, 0);
}

static void add_load(ConfineFilter *f, uint32_t offset) {
        add(f, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

/* Allows this call; only a domain AF_UNIX where it is socket(2), whose argument is an int. */
static void add_call(ConfineFilter *f, uint32_t number, bool unix_only) {
        if (!unix_only) {
                add(f, BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
                add_return(f, ALLOW);
                return;
        }
        add(f, BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4);
        add_load(f, OFFSET_ARG0);
        add(f, BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 0, 1);
        add_return(f, ALLOW);
        add_return(f, DENY);
}

uint32_t confine_filter_decide(const ConfineFilter *f, uint32_t arch, uint32_t number, uint32_t arg0) {
        uint32_t a = 0;

        for (size_t i = 0; i < f->n && i < ELEMENTSOF(f->code); i++) {
                const ConfineInstruction *in = f->code + i;

                switch (in->code) {
                case BPF_RET | BPF_K:
                        return in->k;
                case BPF_LD | BPF_W | BPF_ABS:
                        a = in->k == OFFSET_NUMBER ? number : in->k == OFFSET_ARCH ? arch : arg0;
                        break;
                case BPF_JMP | BPF_JEQ | BPF_K:
                        i += a == in->k ? in->yes : in->no;
                        break;
                case BPF_JMP | BPF_JSET | BPF_K:
                        i += a & in->k ? in->yes : in->no;
                        break;
                default:
                        return DENY;
                }
        }
        return DENY;
}

/* The number of a call, or a negative value where this machine has none of that name. */
static int resolve(const char *name, bool *ret_unix_only) {
        *ret_unix_only = strcmp(name, CONFINE_SOCKET_UNIX) == 0;
        return seccomp_syscall_resolve_name(*ret_unix_only ? "socket" : name);
}

/* What was built does what was asked for. */
static int check(const ConfineFilter *f, const char *const *names, size_t n, uint32_t arch) {
        bool unix_only;

        for (size_t i = 0; i < n; i++) {
                int number = resolve(names[i], &unix_only);

                if (number >= 0 && confine_filter_decide(f, arch, (uint32_t) number, AF_UNIX) != ALLOW)
                        return -EBADMSG;
                if (number >= 0 && unix_only &&
                                confine_filter_decide(f, arch, (uint32_t) number, AF_INET) != DENY)
                        return -EBADMSG;
        }
        return confine_filter_decide(f, arch, SYS_ptrace, 0) == DENY &&
                                        confine_filter_decide(f, ~arch, SYS_read, 0) == DENY
                        ? 0
                        : -EBADMSG;
}

/* Calls of another architecture have other numbers. */
static void begin(ConfineFilter *f, uint32_t arch) {
        add_load(f, OFFSET_ARCH);
        add(f, BPF_JMP | BPF_JEQ | BPF_K, arch, 1, 0);
        add_return(f, DENY);
        add_load(f, OFFSET_NUMBER);
        if (arch == SCMP_ARCH_X86_64) {
                add(f, BPF_JMP | BPF_JSET | BPF_K, X32_BIT, 0, 1);
                add_return(f, DENY);
        }
}

int confine_filter_build(const char *const *names, size_t n, ConfineFilter *ret) {
        const uint32_t arch = seccomp_arch_native();
        ConfineFilter f = {};

        begin(&f, arch);
        for (size_t i = 0; i < n; i++) {
                bool unix_only;
                int number = resolve(names[i], &unix_only);

                if (number >= 0)
                        add_call(&f, (uint32_t) number, unix_only);
        }
        add_return(&f, DENY);
        if (f.n > ELEMENTSOF(f.code))
                return -E2BIG;
        *ret = f;
        return check(ret, names, n, arch);
}

int confine_filter_install(const ConfineFilter *f) {
        const struct sock_fprog program = {
                .len = (unsigned short) f->n,
                .filter = (struct sock_filter *) (uintptr_t) f->code,
        };

        if (f->n == 0 || f->n > ELEMENTSOF(f->code))
                return -EINVAL;
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

int confine_system_calls(const char *const *names, size_t n) {
        ConfineFilter f;
        int r = confine_filter_build(names, n, &f);

        return r < 0 ? r : confine_filter_install(&f);
}

int confine_foreign_program(void) {
        static const char *const denied[] = { "socket", "socketpair", "io_uring_setup", "ptrace",
                "process_vm_readv", "process_vm_writev", "kill", "tkill", "pidfd_send_signal", "mount",
                "umount2", "move_mount", "open_by_handle_at", "unshare", "setns", "bpf", "perf_event_open",
                "keyctl", "add_key", "request_key", "userfaultfd", "kexec_load", "init_module",
                "finit_module" };
        const uint32_t arch = seccomp_arch_native();
        ConfineFilter f = {};

        begin(&f, arch);
        for (size_t i = 0; i < ELEMENTSOF(denied); i++) {
                int number = seccomp_syscall_resolve_name(denied[i]);

                if (number < 0)
                        continue;
                add(&f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) number, 0, 1);
                add_return(&f, DENY);
        }
        add_return(&f, ALLOW);
        if (confine_filter_decide(&f, arch, SYS_socket, 0) != DENY ||
                        confine_filter_decide(&f, arch, SYS_read, 0) != ALLOW ||
                        confine_filter_decide(&f, ~arch, SYS_read, 0) != DENY)
                return -EBADMSG;
        return confine_filter_install(&f);
}
