/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "anomaly-proc.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

pid_t task_process(pid_t tid) {
        char path[64], line[256];
        pid_t pid = 0;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/status", tid);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
                if (sscanf(line, "Tgid: %d", &pid) == 1)
                        break;
        if (f)
                fclose(f);
        return pid;
}

unsigned long task_entry_point(pid_t pid) {
        Elf64_auxv_t aux;
        unsigned long entry = 0;
        char path[64];
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
        f = fopen(path, "re");
        while (f && fread(&aux, sizeof(aux), 1, f) == 1)
                if (aux.a_type == AT_ENTRY)
                        entry = aux.a_un.a_val;
        if (f)
                fclose(f);
        return entry;
}

FdKind descriptor_kind(const Call *call, pid_t tid, unsigned long fd, char target[static PATH_MAX]) {
        char path[64];
        ssize_t n;

        strcpy(target, "-");
        if (!call->takes_fd)
                return FD_NONE;
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", tid, (int) fd);
        n = readlink(path, target, PATH_MAX - 1);
        if (n < 0)
                return FD_OTHER;
        target[n] = 0;
        if (strncmp(target, "pipe:", 5) == 0)
                return FD_PIPE;
        if (strncmp(target, "socket:", 7) == 0)
                return FD_SOCKET;
        return target[0] == '/' && strncmp(target, "/dev/", 5) != 0 ? FD_FILE : FD_OTHER;
}
