/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* PID 1 of a guest that boots in a second or two: the arguments after "--" on the kernel command line say what it does.
 *
 *   lines N      writes N numbered lines through the kernel's log
 *   idle         writes the text of a kernel panic to the console, sleeps, goes on
 *   spin         the same, but computes meanwhile
 *   unfinished   leaves the console in the midst of a red line, and sleeps
 *   die          ends: the kernel panics */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PANIC_SECONDS 8

static void say(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_NOCTTY);

        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                exit(1);
        close(fd);
}

static void lines(unsigned n) {
        int fd = open("/dev/kmsg", O_WRONLY);

        for (unsigned i = 0; i < n && fd >= 0; i++) {
                char text[128];
                int size = snprintf(text, sizeof(text),
                                "<4>line %06u abcdefghijklmnopqrstuvwxyz 0123456789 end\n", i);

                if (write(fd, text, (size_t) size) < 0)
                        exit(1);
        }
}

static void spin(void) {
        time_t end = time(NULL) + PANIC_SECONDS;

        while (time(NULL) < end)
                for (volatile unsigned i = 0; i < 10000000; i++)
                        ;
}

int main(int argc, char **argv) {
        const char *mode = argc > 1 ? argv[1] : "";

        (void) mkdir("/dev", 0755);
        (void) mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
        if (strcmp(mode, "die") == 0)
                return 1;
        if (strcmp(mode, "lines") == 0)
                lines(argc > 2 ? (unsigned) atoi(argv[2]) : 1);
        else if (strcmp(mode, "unfinished") == 0) {
                say("/dev/ttyS0", "\033[31munfinished line");
                sleep(100);
        } else {
                say("/dev/ttyS0",
                                "[    1.0] Kernel panic - not syncing: Attempted to kill init!\r\n"
                                "[    1.0] ---[ end Kernel panic - not syncing: Attempted to kill init! ]---\r\n");
                if (strcmp(mode, "spin") == 0)
                        spin();
                else
                        sleep(PANIC_SECONDS);
                say("/dev/ttyS0", "alive\r\n");
        }
        sync();
        reboot(RB_POWER_OFF);
        return 0;
}
