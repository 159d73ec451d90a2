/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Channels between launcher and QEMU, and the guest's devices. None of them is part of a launch digest. */

#include <errno.h>
#include <stdio.h>

#include "compose-parts.h"

#define HOT_PORT_NUMBER 200 /* chassis and slot: those of the disks count from 1 */

/* A chardev on an inherited socket. -chardev takes no JSON; nothing here comes from the user. */
static void add_socket(Composer *c, const char *id, int fd) {
        if (c->tables) {
                compose_addf(c, "-chardev", "null,id=%s", id);
                return;
        }
        compose_addf(c, "-chardev", "socket,id=%s,fd=%d,server=off", id, fd);
        compose_fd(c, fd);
}

/* Virtio devices of a confidential guest: modern, and with DMA through the IOMMU API of the guest (shared pages). QEMU 6.0
 * and later default to that under SEV; said all the same. Option ROMs would be unmeasured code. */
static void add_virtio(Composer *c, Json *device) {
        const bool emulated = c->choices->simulated && coco_of(c->config->coco)->emulated;
        int r = 0;

        if (device && (c->confidential || c->tables || emulated)) {
                r = js_set(device, "disable-legacy", js_string("on"));
                if (r >= 0)
                        r = js_set(device, "iommu_platform", js_bool(true));
        }
        if (r < 0)
                c->error = r;
        compose_json(c, "-device", device);
}

static Json *build(const char *driver, const char *id) {
        Json *j = NULL;

        return js_build(&j, "{s:s, s:s}", "driver", driver, "id", id) < 0 ? NULL : j;
}

static void add_port_of(Composer *c, const char *driver, const char *name, int fd, unsigned nr) {
        char id[32], full[64];

        (void) snprintf(id, sizeof(id), "port-%s", name);
        (void) snprintf(full, sizeof(full), "io.cvmspawn.%s", name);
        add_socket(c, id, fd);
        compose_build(c, "-device", "{s:s, s:s, s:s, s:s, s:i}", "driver", driver, "bus", "serial0.0",
                        "chardev", id, "name", full, "nr", (int) nr);
}

static void add_port(Composer *c, const char *name, int fd, unsigned nr) {
        add_port_of(c, "virtserialport", name, fd, nr);
}

/* For the adapter, which finds them by their address: a kernel has this driver when it has no module for virtio-serial. Not the second port
 * of a PC, where OVMF writes, and an interrupt for each: those of ISA are not shared. */
static void add_serial(Composer *c, const char *name, int fd, int address, int irq, int index) {
        char id[32];

        (void) snprintf(id, sizeof(id), "port-%s", name);
        add_socket(c, id, fd);
        compose_build(c, "-device", "{s:s, s:s, s:i, s:i, s:i}", "driver", "isa-serial", "chardev", id,
                        "iobase", address, "irq", irq, "index", index);
}

static void add_ports(Composer *c) {
        if (c->choices->run && c->inputs->adapter) {
                add_serial(c, "notify", LAUNCH_FD_NOTIFY, 0x238, 5, 1);
                add_serial(c, "stdout", LAUNCH_FD_STDOUT, 0x3e8, 10, 2);
                add_serial(c, "stderr", LAUNCH_FD_STDERR, 0x2e8, 11, 3);
                return;
        }
        add_port(c, "notify", LAUNCH_FD_NOTIFY, 1);
        if (c->choices->run) {
                /* A terminal of the guest, and not a port: one of its kernel's consoles. */
                if (c->choices->terminal)
                        add_port_of(c, "virtconsole", "terminal", LAUNCH_FD_STDOUT, 2);
                else
                        add_port(c, "stdout", LAUNCH_FD_STDOUT, 2);
                add_port(c, "stderr", LAUNCH_FD_STDERR, 3);
                add_port(c, "stdin", LAUNCH_FD_STDIN, 5);
        }
}

static void compose_console(Composer *c) {
        /* QEMU's standard input and output: the terminal, or pipes of the launcher. Not a socket: its buffer is full after 280
         * writes of one byte, and a serial port then loses what the guest's kernel does not wait for longer than 10 ms. */
        compose_add(c, "-chardev", c->tables ? "null,id=console" : "stdio,id=console,mux=off,signal=off",
                        NULL);
        if (c->config->console_transport == CONSOLE_SERIAL)
                compose_add(c, "-serial", "chardev:console", NULL);
        else
                compose_build(c, "-device", "{s:s, s:s, s:s, s:i}", "driver", "virtconsole", "bus",
                                "serial0.0", "chardev", "console", "nr", 0);
}

/* QEMU 11.1 has an object for the monitor and calls the option deprecated; to know which it is costs a start of QEMU, so the
 * old spelling is used until this QEMU is known to have the new one. Neither is measured. */
static void compose_monitor(Composer *c) {
        if (c->caps->monitor_object)
                compose_build(c, "-object", "{s:s, s:s, s:s}", "qom-type", "monitor-qmp", "id", "monitor0",
                                "chardev", "qmp");
        else
                compose_add(c, "-mon", "chardev=qmp,mode=control", NULL);
}

/* The bus of virtconsole and ports must come before what is plugged into it. */
void compose_channels(Composer *c) {
        bool ports = c->config->linux_path, console = c->config->console_transport == CONSOLE_VIRTIO;

        if (!c->tables) {
                add_socket(c, "qmp", LAUNCH_FD_QMP);
                compose_monitor(c);
        }
        if (ports || console || vm_config_relayed(c->config))
                add_virtio(c, build("virtio-serial-pci", "serial0"));
        compose_console(c);
        if (ports)
                add_ports(c);
        if (vm_config_relayed(c->config))
                add_port(c, "attest", LAUNCH_FD_ATTEST, 4);
}

/* QEMU's QAPI schema, NetdevUserOptions: a list of objects with one member. */
static Json *forwards(char *const *publish) {
        _cleanup_js_ Json *list = js_array();

        STRV_FOREACH(p, publish) {
                Json *item = NULL;

                if (!list || js_build(&item, "{s:s}", "str", *p) < 0 || js_append(list, item) < 0)
                        return NULL;
        }
        return TAKE_PTR(list);
}

/* QEMU's QAPI schema, Netdev: the descriptors of tap and stream are QEMU's own, so that it needs neither names nor privileges. */
static Json *netdev(const Composer *c) {
        char fd[16];
        Json *j = NULL;
        int r;

        (void) snprintf(fd, sizeof(fd), "%d", (int) LAUNCH_FD_NETWORK);
        switch (c->config->network) {
        case NETWORK_TAP:
                r = js_build(&j, "{s:s, s:s, s:s}", "type", "tap", "id", "net0", "fd", fd);
                break;
        case NETWORK_PASST:
                r = js_build(&j, "{s:s, s:s, s:b, s:{s:s, s:s}}", "type", "stream", "id", "net0", "server",
                                false, "addr", "type", "fd", "str", fd);
                break;
        default:
                r = js_build(&j, "{s:s, s:s}", "type", "user", "id", "net0");
                if (r >= 0 && c->config->publish)
                        r = js_set(j, "hostfwd", forwards(c->config->publish));
        }
        if (r >= 0)
                return j;
        (void) js_unref(j);
        return NULL;
}

static void compose_network(Composer *c) {
        Json *j;

        if (c->config->network == NETWORK_NONE)
                return;
        if (c->config->network != NETWORK_USER)
                compose_fd(c, LAUNCH_FD_NETWORK);
        compose_json(c, "-netdev", netdev(c));
        j = build("virtio-net-pci", "nic0");
        if (j && (js_set(j, "netdev", js_string("net0")) < 0 || js_set(j, "romfile", js_string("")) < 0))
                c->error = -ENOMEM;
        if (j && *c->choices->mac && js_set(j, "mac", js_string(c->choices->mac)) < 0)
                c->error = -ENOMEM;
        add_virtio(c, j);
}

static void compose_shares(Composer *c) {
        for (size_t i = 0; i < vm_config_n_shares(c->config); i++) {
                Share s;

                vm_config_share(c->config, i, &s);
                add_socket(c, s.id, LAUNCH_FD_SHARES + (int) i);
                compose_build(c, "-device", "{s:s, s:s, s:s, s:s, s:i}", "driver", "vhost-user-fs-pci", "id",
                                s.id, "chardev", s.id, "tag", s.tag, "queue-size", 1024);
        }
}

static void compose_vsock(Composer *c) {
        const bool user = c->choices->vsock == VSOCK_USER;
        char fd[16];
        Json *j;
        int r;

        if (c->choices->vsock == VSOCK_NO)
                return;
        if (user) {
                add_socket(c, "vsock", LAUNCH_FD_VSOCK);
                j = build("vhost-user-vsock-pci", "vsock0");
                r = j ? js_set(j, "chardev", js_string("vsock")) : -ENOMEM;
        } else {
                (void) snprintf(fd, sizeof(fd), "%d", (int) LAUNCH_FD_VSOCK);
                compose_fd(c, LAUNCH_FD_VSOCK);
                j = build("vhost-vsock-pci", "vsock0");
                r = j ? js_set(j, "guest-cid", js_u64(c->choices->vsock_cid)) : -ENOMEM;
                if (r >= 0)
                        r = js_set(j, "vhostfd", js_string(fd));
        }
        if (r < 0)
                c->error = r;
        add_virtio(c, j);
}

static void add_disk_port(Composer *c, const char *id, int number) {
        compose_build(c, "-device", "{s:s, s:s, s:i, s:i}", "driver", "pcie-root-port", "id", id, "chassis",
                        number, "slot", number);
}

/* Room to plug the disks in by QMP before the guest starts: a port for each, and one for the SCSI bus. */
static void compose_disk_ports(Composer *c) {
        const VmConfig *config = c->config;
        bool scsi = config->image && disk_type_facts(config->image_disk_type)->scsi;
        int number = 0;

        if (config->image && !scsi)
                add_disk_port(c, DISK_PORT, ++number);
        for (size_t i = 0; i < config->n_extra_drives; i++) {
                char id[32];

                if (disk_type_facts(vm_config_drive_type(config, i))->scsi) {
                        scsi = true;
                        continue;
                }
                (void) snprintf(id, sizeof(id), DRIVE_PORT, i + 1);
                add_disk_port(c, id, ++number);
        }
        if (scsi)
                add_disk_port(c, SCSI_PORT, ++number);
}

/* Before the devices that QEMU finds a slot for. */
static void compose_hot_ports(Composer *c) {
        for (unsigned i = 0; i < vm_config_hot_ports(c->config); i++) {
                const int number = (int) (HOT_PORT_NUMBER + i);
                char id[32], address[16];

                (void) snprintf(id, sizeof(id), HOT_PORT, i);
                (void) snprintf(address, sizeof(address), "0x%x.%u", HOT_PORT_SLOT, i);
                compose_build(c, "-device", "{s:s, s:s, s:i, s:i, s:s, s:b}", "driver", "pcie-root-port",
                                "id", id, "chassis", number, "slot", number, "addr", address,
                                "multifunction", i == 0);
        }
}

void compose_devices(Composer *c) {
        compose_hot_ports(c);
        compose_build(c, "-object", "{s:s, s:s, s:s}", "qom-type", "rng-random", "id", "rng0", "filename",
                        "/dev/urandom");
        Json *rng = build("virtio-rng-pci", "rng-device0");
        if (rng && js_set(rng, "rng", js_string("rng0")) < 0)
                c->error = -ENOMEM;
        add_virtio(c, rng);

        compose_network(c);
        compose_shares(c);
        compose_vsock(c);

        if (c->choices->tpm) {
                add_socket(c, "tpm", LAUNCH_FD_TPM);
                compose_add(c, "-tpmdev", "emulator,id=tpm0,chardev=tpm", NULL);
                compose_build(c, "-device", "{s:s, s:s, s:s}", "driver", "tpm-tis", "id", "tpmdev0",
                                "tpmdev", "tpm0");
        }

        /* A panic becomes an event; a confidential guest gets no extra host devices. */
        if (!vm_config_confidential(c->config))
                compose_build(c, "-device", "{s:s, s:s}", "driver", "pvpanic-pci", "id", "pvpanic0");
        compose_disk_ports(c);
}
