/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs a program and its children under ptrace(2) and makes one system call fail:
 *
 *   anomaly-calls --programs=DIRECTORY --report=FILE [--point=PROCESS:CALL:N:ERROR] [--stop] PROGRAM ARGUMENTS...
 *
 * Without --point= each call that can fail is reported, with the errors that fit it. PROCESS is "1" for the first process, "1.2" for its second
 * child; N counts the calls of that name in that process from the program's entry point on, so that the dynamic loader is spared. ERROR is a
 * name from the table, "short" for half of the bytes, "kill" for SIGKILL in place of the call, "hang" for a call that does not return. Only programs below DIRECTORY
 * are looked at; what else they execute runs free. With --stop the process stands still, untraced, at the failed call, for a
 * debugger: gdb -p. The exit status is the program's.
 *
 * Lines of the report: "call PROCESS NAME N ERROR TARGET", "hit PROCESS NAME N ERROR TARGET", "signal PROCESS NUMBER", "end STATUS". */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "anomaly-hang.h"
#include "anomaly-proc.h"
#include "anomaly-table.h"

#define MAX_TASKS     512
#define MAX_PROCESSES 512
#define MAX_CALLS     512

typedef struct Process {
        char id[64];
        pid_t pid;
        unsigned children;
        bool ours;     /* a program that is looked at */
        bool counting; /* its entry point was reached */
        unsigned long entry;
        long entry_word;
        unsigned counts[MAX_CALLS]; /* by number */
} Process;

typedef struct Task {
        pid_t tid;
        Process *process;
        bool inside;
        long result;  /* for the end of this call: -errno; 0: the kernel's own */
        bool changed; /* an argument was, which the program finds as it left it */
        unsigned long rdi, rdx;
        Hang hang;
} Task;

typedef struct Injector {
        char programs[PATH_MAX];
        FILE *report;
        char process[64], call[64], error_name[32];
        unsigned n;
        int error;
        bool kill, hang, stop, done;
        pid_t first;
        int status;
        Task tasks[MAX_TASKS];
        Process processes[MAX_PROCESSES];
        size_t n_processes;
} Injector;

static _Noreturn void die(const char *what) {
        fprintf(stderr, "anomaly-calls: %s: %s\n", what, strerror(errno));
        exit(99);
}

static Task *task_find(Injector *j, pid_t tid) {
        for (size_t i = 0; i < MAX_TASKS; i++)
                if (j->tasks[i].tid == tid)
                        return j->tasks + i;
        return NULL;
}

static Task *task_new(Injector *j, pid_t tid, Process *p) {
        Task *t = task_find(j, 0);

        if (!t) {
                errno = E2BIG;
                die("tasks");
        }
        *t = (Task) { .tid = tid, .process = p };
        return t;
}

static Process *process_new(Injector *j, pid_t pid, Process *parent) {
        Process *p = j->processes + j->n_processes++;

        if (j->n_processes > MAX_PROCESSES) {
                errno = E2BIG;
                die("processes");
        }
        if (parent) {
                *p = *parent;
                memset(p->counts, 0, sizeof(p->counts));
                p->children = 0;
                snprintf(p->id, sizeof(p->id), "%.40s.%u", parent->id, ++parent->children);
        } else
                strcpy(p->id, "1");
        p->pid = pid;
        return p;
}

/* A program has been executed: if it is one of ours, a breakpoint goes to its entry. Returns false if it is to run free. */
static bool entered(Injector *j, Process *p, pid_t tid) {
        char path[64], target[PATH_MAX];
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%d/exe", tid);
        n = readlink(path, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = 0;
        p->ours = strncmp(target, j->programs, strlen(j->programs)) == 0;
        p->counting = false;
        if (!p->ours)
                return false;
        p->entry = task_entry_point(tid);
        errno = 0;
        p->entry_word = ptrace(PTRACE_PEEKTEXT, tid, p->entry, 0);
        if (errno || ptrace(PTRACE_POKETEXT, tid, p->entry, (p->entry_word & ~0xffL) | 0xcc) < 0)
                die("breakpoint");
        return true;
}

static bool at_entry(Process *p, pid_t tid) {
        struct user_regs_struct regs;

        if (!p->ours || p->counting || ptrace(PTRACE_GETREGS, tid, 0, &regs) < 0 || regs.rip != p->entry + 1)
                return false;
        regs.rip = p->entry;
        if (ptrace(PTRACE_POKETEXT, tid, p->entry, p->entry_word) < 0 ||
                        ptrace(PTRACE_SETREGS, tid, 0, &regs) < 0)
                die("entry");
        p->counting = true;
        return true;
}

static void list(Injector *j, const Task *t, const Call *call, const struct user_regs_struct *regs) {
        char target[PATH_MAX];
        const Process *p = t->process;
        FdKind kind = descriptor_kind(call, t->tid, regs->rdi, target);
        unsigned n = p->counts[call->number];

        for (size_t i = 0; i < sizeof(call->errors) / sizeof(call->errors[0]) && call->errors[i].name; i++)
                if (call->errors[i].kinds & kind)
                        fprintf(j->report, "call %s %s %u %s %s\n", p->id, call->name, n,
                                        call->errors[i].name, target);
        if (call_may_hang(call, t->tid, regs, kind, target))
                fprintf(j->report, "call %s %s %u hang %s\n", p->id, call->name, n, target);
}

static void inject(Injector *j, Task *t, const Call *call, struct user_regs_struct *regs) {
        char target[PATH_MAX];
        FdKind kind = descriptor_kind(call, t->tid, regs->rdi, target);

        j->done = true;
        fprintf(j->report, "hit %s %s %u %s %s\n", t->process->id, call->name, j->n, j->error_name, target);
        fflush(j->report);
        if (j->kill) {
                kill(t->process->pid, SIGKILL);
                return;
        }
        if (j->hang) {
                hang_begin(&t->hang, t->tid, regs, kind);
                return;
        }
        t->changed = j->error == SHORT_COUNT || call->number == SYS_brk;
        t->rdi = regs->rdi;
        t->rdx = regs->rdx;
        if (j->error == SHORT_COUNT)
                regs->rdx = (regs->rdx + 1) / 2;
        else if (call->number == SYS_brk)
                regs->rdi = 0; /* a failing brk(2) returns the break as it is */
        else {
                regs->orig_rax = (unsigned long) -1;
                t->result = -j->error;
        }
        if (ptrace(PTRACE_SETREGS, t->tid, 0, regs) < 0 && errno != ESRCH)
                die("inject");
}

static void call_begins(Injector *j, Task *t) {
        struct user_regs_struct regs;
        Process *p = t->process;
        const Call *call;
        unsigned n;

        if (!p->ours || !p->counting || (j->done && !j->hang) ||
                        ptrace(PTRACE_GETREGS, t->tid, 0, &regs) < 0 || regs.orig_rax >= MAX_CALLS)
                return;
        if (j->done) {
                if (hang_is_same(&t->hang, &regs))
                        hang_begin(&t->hang, t->tid, &regs, t->hang.restarts ? FD_FILE : FD_PIPE);
                return;
        }
        call = call_find((long) regs.orig_rax, regs.rsi);
        if (!call)
                return;
        n = ++p->counts[regs.orig_rax];
        if (j->error_name[0] == 0)
                list(j, t, call, &regs);
        else if (n == j->n && strcmp(call->name, j->call) == 0 && strcmp(p->id, j->process) == 0)
                inject(j, t, call, &regs);
}

/* Returns true if the process was left to a debugger. */
static bool call_ends(Injector *j, Task *t) {
        struct user_regs_struct regs;

        if (hang_end(&t->hang, t->tid) || (t->result == 0 && !t->changed))
                return false;
        if (ptrace(PTRACE_GETREGS, t->tid, 0, &regs) < 0)
                return false;
        if (t->result)
                regs.rax = (unsigned long) t->result;
        if (t->changed) {
                regs.rdi = t->rdi;
                regs.rdx = t->rdx;
        }
        t->result = 0;
        t->changed = false;
        if (ptrace(PTRACE_SETREGS, t->tid, 0, &regs) < 0)
                return false;
        if (!j->stop)
                return false;
        fprintf(stderr, "anomaly-calls: process %d stands at the failed call: gdb -p %d\n", t->process->pid,
                        t->process->pid);
        ptrace(PTRACE_DETACH, t->tid, 0, SIGSTOP);
        return true;
}

static void resume(Task *t, int signal_number) {
        ptrace(t->process->ours || t->process->id[1] == 0 ? PTRACE_SYSCALL : PTRACE_CONT, t->tid, 0,
                        signal_number);
}

/* A process or thread that `parent` has made. */
static void born(Injector *j, Process *parent, pid_t tid) {
        Task *waiting = task_find(j, tid);
        Task *t = waiting ?: task_new(j, tid, NULL);

        t->process = task_process(tid) == parent->pid ? parent : process_new(j, tid, parent);
        if (waiting)
                resume(t, 0);
}

/* A stop that ptrace(2) reports as an event. Returns false if the task is not traced any more. */
static bool event(Injector *j, Task *t, int number, int signal_number) {
        unsigned long message = 0;

        switch (number) {
        case PTRACE_EVENT_FORK:
        case PTRACE_EVENT_VFORK:
        case PTRACE_EVENT_CLONE:
                ptrace(PTRACE_GETEVENTMSG, t->tid, 0, &message);
                born(j, t->process, (pid_t) message);
                break;
        case PTRACE_EVENT_EXEC:
                t->inside = true; /* its end is reported yet */
                if (!entered(j, t->process, t->tid)) {
                        ptrace(PTRACE_DETACH, t->tid, 0, 0);
                        t->tid = 0;
                        return false;
                }
                break;
        case PTRACE_EVENT_STOP:
                if (signal_number != SIGTRAP) { /* stopped by a signal: stays so */
                        ptrace(PTRACE_LISTEN, t->tid, 0, 0);
                        return false;
                }
                break;
        default:
                break;
        }
        return true;
}

static void stopped(Injector *j, Task *t, int status) {
        const int number = WSTOPSIG(status);

        if (number == (SIGTRAP | 0x80)) {
                t->inside = !t->inside;
                if (t->inside)
                        call_begins(j, t);
                else if (call_ends(j, t)) {
                        t->tid = 0;
                        return;
                }
                resume(t, 0);
        } else if (status >> 16) {
                if (event(j, t, status >> 16, number))
                        resume(t, 0);
        } else
                resume(t, number == SIGTRAP && at_entry(t->process, t->tid) ? 0 : number);
}

static void ended(Injector *j, Task *t, int status) {
        if (WIFSIGNALED(status) && t->process && t->process->ours)
                fprintf(j->report, "signal %s %d\n", t->process->id, WTERMSIG(status));
        if (t->tid == j->first)
                j->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        t->tid = 0;
}

static void supervise(Injector *j) {
        pid_t tid;
        int status;

        while ((tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
                Task *t = task_find(j, tid);

                if (tid < 0)
                        continue;
                if (WIFSTOPPED(status) && !t)
                        (void) task_new(j, tid, NULL); /* it waits for its parent's event */
                else if (WIFSTOPPED(status))
                        stopped(j, t, status);
                else if (t)
                        ended(j, t, status);
        }
}

static void parse_point(Injector *j, const char *text) {
        if (sscanf(text, "%63[0-9.]:%63[a-z0-9_]:%u:%31[A-Za-z0-9]", j->process, j->call, &j->n,
                            j->error_name) != 4) {
                errno = EINVAL;
                die(text);
        }
        j->kill = strcmp(j->error_name, "kill") == 0;
        j->hang = strcmp(j->error_name, "hang") == 0;
        j->error = error_number(j->error_name);
        if (!j->kill && !j->hang && j->error == 0) {
                errno = EINVAL;
                die(j->error_name);
        }
}

static void start(Injector *j, char **argv) {
        int gate[2];

        if (pipe2(gate, O_CLOEXEC) < 0)
                die("pipe");
        j->first = fork();
        if (j->first < 0)
                die("fork");
        if (j->first == 0) {
                char go;

                close(gate[1]);
                if (read(gate[0], &go, 1) == 1)
                        execvp(argv[0], argv);
                _exit(98);
        }
        close(gate[0]);
        if (ptrace(PTRACE_SEIZE, j->first, 0,
                            PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                                            PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) <
                        0)
                die("ptrace");
        (void) task_new(j, j->first, process_new(j, j->first, NULL));
        if (write(gate[1], "g", 1) != 1)
                die("start");
        close(gate[1]);
}

int main(int argc, char **argv) {
        static Injector j;
        int i = 1;

        for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
                if (strncmp(argv[i], "--programs=", 11) == 0) {
                        if (!realpath(argv[i] + 11, j.programs))
                                die(argv[i] + 11);
                } else if (strncmp(argv[i], "--report=", 9) == 0)
                        j.report = fopen(argv[i] + 9, "we");
                else if (strncmp(argv[i], "--point=", 8) == 0)
                        parse_point(&j, argv[i] + 8);
                else if (strcmp(argv[i], "--stop") == 0)
                        j.stop = true;
        }
        if (i >= argc || !j.report || !j.programs[0]) {
                errno = EINVAL;
                die("usage: anomaly-calls --programs=DIRECTORY --report=FILE [--point=PROCESS:CALL:N:ERROR] [--stop] PROGRAM ...");
        }
        start(&j, argv + i);
        supervise(&j);
        fprintf(j.report, "end %d\n", j.status);
        fclose(j.report);
        return j.status;
}
