/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* PID 1 of a root directory that the host shares: leaves in /result what is mounted by virtiofs, what it is told of the owner of a file,
 * and whether it can write to /rw and /ro. The arguments after "--" are what it mounts before, NAME=PLACE, and "twice" to boot again before
 * that. Then it powers off. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

static void put_mounts(FILE *out) {
        FILE *in = fopen("/proc/mounts", "r");
        char line[1024];

        while (in && fgets(line, sizeof(line), in))
                if (strstr(line, " virtiofs "))
                        (void) fputs(line, out);
        if (in)
                (void) fclose(in);
}

static void try_to_write(FILE *out, const char *place) {
        char path[1024];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/from-guest", place);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        (void) fprintf(out, "%s: %s\n", place, fd < 0 ? strerror(errno) : "written");
        if (fd >= 0 && (write(fd, "guest\n", 6) != 6 || close(fd) < 0))
                (void) fprintf(out, "%s: lost\n", place);
}

/* The directory that is left at a reset is there again after it. */
static void boot_twice(void) {
        int fd = open("/first", O_WRONLY | O_CREAT | O_EXCL, 0644);

        if (fd < 0)
                return;
        (void) close(fd);
        sync();
        reboot(RB_AUTOBOOT);
}

int main(int argc, char **argv) {
        struct stat st = {};
        FILE *out;

        (void) mount("proc", "/proc", "proc", 0, NULL);
        (void) mount(NULL, "/", NULL, MS_REMOUNT, NULL);
        out = fopen("/result", "w");
        if (!out)
                return 1;
        for (int i = 1; i < argc; i++) {
                char *place = strchr(argv[i], '=');

                if (strcmp(argv[i], "twice") == 0)
                        boot_twice();
                if (!place)
                        continue;
                *place++ = 0;
                if (mount(argv[i], place, "virtiofs", 0, NULL) < 0)
                        (void) fprintf(out, "%s: %s\n", argv[i], strerror(errno));
        }
        put_mounts(out);
        if (stat("/owned", &st) < 0 || chown("/owned", 7, 8) < 0)
                (void) fprintf(out, "/owned: %s\n", strerror(errno));
        (void) fprintf(out, "owner %u %u\n", (unsigned) st.st_uid, (unsigned) st.st_gid);
        try_to_write(out, "/rw");
        try_to_write(out, "/ro");
        (void) fclose(out);
        sync();
        reboot(RB_POWER_OFF);
        return 0;
}
