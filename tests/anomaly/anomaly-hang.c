/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "anomaly-hang.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define N_ELEMENTS(x) (sizeof(x) / sizeof((x)[0]))

/* What waits for somebody else's answer. poll(2) and its like wait by intention and with a limit; wait(2) waits for a process, whose calls are
 * points as well. */
static const long on_descriptors[] = { SYS_read, SYS_pread64, SYS_readv, SYS_write, SYS_pwrite64, SYS_writev,
        SYS_sendto, SYS_sendmsg, SYS_recvfrom, SYS_recvmsg, SYS_sendfile, SYS_copy_file_range, SYS_close,
        SYS_fstat, SYS_getdents64, SYS_ftruncate, SYS_fallocate, SYS_fsync, SYS_fdatasync, SYS_flock,
        SYS_connect };
static const long on_first_path[] = { SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_mkdir,
        SYS_rename, SYS_link, SYS_unlink, SYS_rmdir, SYS_chmod, SYS_execve };
static const long on_second_path[] = { SYS_openat, SYS_newfstatat, SYS_statx, SYS_faccessat, SYS_faccessat2,
        SYS_readlinkat, SYS_mkdirat, SYS_renameat, SYS_renameat2, SYS_linkat, SYS_unlinkat };

static bool is_one_of(const long *list, size_t n, long number) {
        for (size_t i = 0; i < n; i++)
                if (list[i] == number)
                        return true;
        return false;
}

/* A path in the task's memory, up to the end of its page. */
static void read_path(pid_t tid, unsigned long address, char ret[static PATH_MAX]) {
        size_t size = 4096 - address % 4096;
        struct iovec here = { ret, PATH_MAX - 1 }, there = { (void *) address, size };
        ssize_t n = process_vm_readv(tid, &here, 1, &there, 1, 0);

        ret[n > 0 ? n : 0] = 0;
}

static bool is_made_up(const char *path) {
        static const char *const places[] = { "/proc", "/sys", "/dev", "/memfd:" };

        for (size_t i = 0; i < N_ELEMENTS(places); i++)
                if (strncmp(path, places[i], strlen(places[i])) == 0)
                        return true;
        return strcmp(path, "/") == 0;
}

static bool blocks(pid_t tid, int fd) {
        char path[64], line[128];
        unsigned flags = 0;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", tid, fd);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
                if (sscanf(line, "flags: %o", &flags) == 1)
                        break;
        if (f)
                fclose(f);
        return f && (flags & O_NONBLOCK) == 0;
}

static bool does_not_wait(const struct user_regs_struct *regs) {
        switch ((long) regs->orig_rax) {
        case SYS_flock:
                return regs->rsi & LOCK_NB;
        case SYS_sendto:
        case SYS_recvfrom:
                return regs->r10 & MSG_DONTWAIT;
        case SYS_sendmsg:
        case SYS_recvmsg:
                return regs->rdx & MSG_DONTWAIT;
        default:
                return false;
        }
}

bool call_may_hang(const Call *call, pid_t tid, const struct user_regs_struct *regs, FdKind kind,
                char target[static PATH_MAX]) {
        if (is_one_of(on_descriptors, N_ELEMENTS(on_descriptors), call->number)) {
                if (kind == FD_FILE) /* close(2), too: what was written is sent then */
                        return !is_made_up(target) && !does_not_wait(regs);
                return (kind & (FD_PIPE | FD_SOCKET)) && call->number != SYS_close &&
                                call->number != SYS_fstat && !does_not_wait(regs) &&
                                blocks(tid, (int) regs->rdi);
        }
        if (is_one_of(on_first_path, N_ELEMENTS(on_first_path), call->number))
                read_path(tid, regs->rdi, target);
        else if (is_one_of(on_second_path, N_ELEMENTS(on_second_path), call->number))
                read_path(tid, regs->rsi, target);
        else
                return false;
        return target[0] && !is_made_up(target);
}

void hang_begin(Hang *h, pid_t tid, struct user_regs_struct *regs, FdKind kind) {
        h->saved = *regs;
        h->restarts = (kind & (FD_PIPE | FD_SOCKET)) == 0;
        regs->rdi = regs->rsp & ~7UL;
        regs->rsi = FUTEX_WAIT | FUTEX_PRIVATE_FLAG;
        regs->rdx = (unsigned) ptrace(PTRACE_PEEKDATA, tid, regs->rdi, 0);
        regs->r10 = 0;
        regs->orig_rax = SYS_futex;
        h->waiting = ptrace(PTRACE_SETREGS, tid, 0, regs) >= 0;
}

bool hang_is_same(const Hang *h, const struct user_regs_struct *regs) {
        return h->saved.orig_rax != 0 && h->saved.orig_rax == regs->orig_rax && h->saved.rdi == regs->rdi &&
                        h->saved.rsi == regs->rsi;
}

bool hang_end(Hang *h, pid_t tid) {
        struct user_regs_struct regs;

        if (!h->waiting)
                return false;
        h->waiting = false;
        if (ptrace(PTRACE_GETREGS, tid, 0, &regs) < 0)
                return true;
        regs.rdi = h->saved.rdi;
        regs.rsi = h->saved.rsi;
        regs.rdx = h->saved.rdx;
        regs.r10 = h->saved.r10;
        regs.orig_rax = (unsigned long) -1; /* nothing for the kernel to begin again */
        if (h->restarts) {
                regs.rax = h->saved.orig_rax;
                regs.rip -= 2; /* syscall: 0f 05 */
        } else
                regs.rax = (unsigned long) -EINTR;
        (void) ptrace(PTRACE_SETREGS, tid, 0, &regs);
        return true;
}
