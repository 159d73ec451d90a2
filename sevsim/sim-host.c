/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Theory of operation: the file `guests` in the host's folder has a row of text for each address space identifier. Who has a guest holds a
 * lock of the open file description on its row, so that the kernel frees the row with the last process of the guest, however that ends.
 * What a row says counts only while it is locked. Row 0 has the last handle; its lock is the one over changes. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim-device.h"
#include "sim-host.h"

enum {
        ROW_SIZE = 64,
        ES_FIRST = 1, /* SEV-ES and SNP below, SEV above, as the firmware setting "minimum SEV ASID" divides them */
        SEV_FIRST = 100,
        TDX_FIRST = 510, /* a TD's are key identifiers of the processor, which are counted apart */
        ROWS = 573,
};

static int open_guests(void) {
        const char *host = getenv("CVMSPAWN_SEVSIM_HOST");
        char path[4096];
        int fd;

        if (!host || snprintf(path, sizeof(path), "%s/guests", host) >= (int) sizeof(path))
                return -ENOENT;
        fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

static bool shared(void) {
        return getenv("CVMSPAWN_SEVSIM_HOST") != NULL;
}

static int lock_row(int fd, unsigned row, short type, int how) {
        struct flock lock = {
                .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t) row * ROW_SIZE, .l_len = 1
        };
        int r;

        do
                r = fcntl(fd, how, &lock);
        while (r < 0 && errno == EINTR && how == F_OFD_SETLKW);
        if (r < 0)
                return -errno;
        return how == F_OFD_GETLK && lock.l_type != F_UNLCK;
}

static int write_row(int fd, unsigned row, uint32_t handle, const char *type) {
        char text[ROW_SIZE + 1];
        ssize_t n;

        snprintf(text, sizeof(text), "%-63s\n", "");
        n = snprintf(text, sizeof(text), "%u %s %d", handle, type, (int) getpid());
        text[n] = ' ';
        n = pwrite(fd, text, ROW_SIZE, (off_t) row * ROW_SIZE);
        return n == ROW_SIZE ? 0 : n < 0 ? -errno : -EIO;
}

static int read_row(int fd, unsigned row, uint32_t *ret_handle, char ret_type[static ROW_SIZE]) {
        char text[ROW_SIZE + 1] = {};

        *ret_handle = 0;
        *ret_type = 0;
        if (pread(fd, text, ROW_SIZE, (off_t) row * ROW_SIZE) != ROW_SIZE)
                return -EIO;
        (void) sscanf(text, "%u %63s", ret_handle, ret_type);
        return 0;
}

static void seat_range(const SimVm *vm, unsigned *ret_first, unsigned *ret_end) {
        *ret_first = vm->type == VM_TYPE_TDX ? TDX_FIRST : vm->es ? ES_FIRST : SEV_FIRST;
        *ret_end = vm->type == VM_TYPE_TDX ? ROWS : vm->es ? SEV_FIRST : TDX_FIRST;
}

static const char *seat_type(const SimVm *vm) {
        return vm->type == VM_TYPE_DEFAULT ? (vm->es ? "SEV-ES" : "SEV") : vm_type_name(vm->type);
}

/* A machine whose descriptor is closed is gone: QEMU replaces one at a reset. */
static void free_closed(void) {
        for (unsigned i = 0; vm_by_index(i); i++)
                if (vm_by_index(i)->seat > 0 && !device_vm_is_open(i))
                        host_seat_free(vm_by_index(i));
}

void host_seat_free(SimVm *vm) {
        if (vm->seat > 0)
                close(vm->seat_fd);
        vm->seat = 0;
}

int host_seat_take(SimVm *vm) {
        unsigned first, end;
        int fd;

        if (!shared())
                return 0;
        free_closed();
        fd = open_guests();
        if (fd < 0)
                return vm_refuse(vm, -EIO, "the state of the simulated host cannot be opened");
        seat_range(vm, &first, &end);
        for (unsigned i = first; i < end; i++)
                if (lock_row(fd, i, F_WRLCK, F_OFD_SETLK) >= 0) {
                        int r = write_row(fd, i, 0, seat_type(vm));
                        if (r < 0) {
                                close(fd);
                                return vm_refuse(vm, -EIO,
                                                "the state of the simulated host cannot be written");
                        }
                        vm->seat = i;
                        vm->seat_fd = fd;
                        record_number(vm->record, vm->type == VM_TYPE_TDX ? "key_id" : "asid",
                                        vm->type == VM_TYPE_TDX ? i - TDX_FIRST + 1 : i);
                        return 0;
                }
        close(fd);
        return vm->type == VM_TYPE_TDX
                        ? vm_refuse(vm, -ENOSPC, "all private key identifiers of the host are in use")
                        : vm_refuse(vm, -EBUSY, "all address space identifiers of the host are in use");
}

int host_guest_start(SimVm *vm) {
        char type[ROW_SIZE];
        uint32_t handle;
        int r;

        if (vm->seat == 0)
                return 0;
        r = lock_row(vm->seat_fd, 0, F_WRLCK, F_OFD_SETLKW);
        if (r < 0)
                return r;
        r = read_row(vm->seat_fd, 0, &handle, type);
        if (r >= 0)
                r = write_row(vm->seat_fd, 0, handle + 1, "last-handle");
        (void) lock_row(vm->seat_fd, 0, F_UNLCK, F_OFD_SETLK);
        if (r >= 0)
                r = write_row(vm->seat_fd, vm->seat, handle + 1, seat_type(vm));
        if (r < 0)
                return vm_refuse(vm, -EIO, "the state of the simulated host cannot be written");
        vm->handle = handle + 1;
        return 0;
}

uint32_t host_handle(const SimVm *vm) {
        return vm->handle > 0 ? vm->handle : vm->index + 1;
}

uint32_t host_guest_count(bool snp) {
        int fd = open_guests();
        uint32_t n = 0;

        /* A new description meets the locks of this process, too. */
        for (unsigned i = ES_FIRST; fd >= 0 && i < TDX_FIRST; i++) {
                char type[ROW_SIZE];
                uint32_t handle;

                if (lock_row(fd, i, F_WRLCK, F_OFD_GETLK) == 1 && read_row(fd, i, &handle, type) >= 0 &&
                                handle > 0 && (strcmp(type, "SNP") == 0) == snp)
                        n++;
        }
        if (fd >= 0)
                close(fd);
        return n;
}
