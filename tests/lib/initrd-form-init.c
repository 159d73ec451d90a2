/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The PID 1 of test_initrd_forms.py: prints what it finds as the credential foo, and powers off. Without a libc, so that it is
 * small and needs nothing beside it. */

#include <fcntl.h>
#include <linux/reboot.h>
#include <sys/syscall.h>

static long call(long number, long a, long b, long c) {
        long result;

        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "a"(number), "D"(a), "S"(b), "d"(c)
                         : "rcx", "r11", "memory");
        return result;
}

static void say(const char *text) {
        long n = 0;

        while (text[n])
                n++;
        (void) call(SYS_write, 1, (long) text, n);
}

__attribute__((noreturn)) void _start(void);

void _start(void) {
        char value[64];
        long fd, n = -1;

        fd = call(SYS_open, (long) "/.extra/system_credentials/foo.cred", O_RDONLY, 0);
        if (fd >= 0)
                n = call(SYS_read, fd, (long) value, sizeof(value) - 1);
        say("\nFORM ");
        if (n >= 0) {
                value[n] = 0;
                say("foo=");
                say(value);
        } else
                say("foo missing");
        say("\n");
        (void) call(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF);
        for (;;)
                ;
}
