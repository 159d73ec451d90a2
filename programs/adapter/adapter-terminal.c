/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A terminal for the command of --run=, as large as that of the launcher's user. */

#include "adapter-run.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+._"

static unsigned short take_number(const char **p) {
        char *end;
        unsigned long n = strtoul(*p, &end, 10);

        *p = *end == ' ' ? end + 1 : end;
        return n > 9999 ? 0 : (unsigned short) n;
}

bool adapter_terminal_parse(const char *text, Terminal *ret) {
        const char *name;
        size_t n;

        *ret = (Terminal) { .wanted = *text };
        ret->rows = take_number(&text);
        ret->columns = take_number(&text);
        ret->error_apart = strncmp(text, "apart ", 6) == 0;
        name = strchr(text, ' ');
        name = name ? name + 1 : "";
        n = strlen(name);
        /* The launcher is not trusted with more than a name. */
        if (n == 0 || n >= sizeof(ret->name) || strspn(name, NAME_CHARACTERS) != n)
                name = "vt220";
        (void) memcpy(ret->name, name, strlen(name) + 1);
        return ret->wanted;
}

void adapter_terminal_resize(int fd, const Terminal *t) {
        const struct winsize size = { .ws_row = t->rows, .ws_col = t->columns };

        (void) ioctl(fd, TIOCSWINSZ, &size);
}

void adapter_terminal_open(const Terminal *t, int *ret_ours, int *ret_command) {
        char path[ADAPTER_NUMBER_SIZE];
        unsigned number;
        int unlock = 0;

        *ret_ours = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (*ret_ours < 0 || ioctl(*ret_ours, TIOCGPTN, &number) < 0 || number >= 100 ||
                        ioctl(*ret_ours, TIOCSPTLCK, &unlock) < 0)
                adapter_fail("the kernel makes no terminal: run cvmspawn with another standard input, such as </dev/null",
                                "/dev/pts/ptmx");
        adapter_number(path, "/dev/pts/", number, "");
        *ret_command = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (*ret_command < 0)
                adapter_fail("cannot open a terminal", path);
        adapter_terminal_resize(*ret_ours, t);
}
