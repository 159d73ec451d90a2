# SPDX-License-Identifier: LGPL-2.1-or-later
"""A monitor that goes through the steps of a launch on the simulated host and prints at which one it failed: step, errno, code of the secure
processor. Run with sevsim.so preloaded; arguments: names of errors, each for another launch. What QEMU would go on from, it repeats once."""

import ctypes
import errno
import os
import struct
import sys

PAGE = 4096
ENCRYPT_OP, REG_REGION = 0xC008AEBA, 0x8010AEBB
CREATE_VM, CREATE_VCPU, CHECK_EXTENSION = 0xAE01, 0xAE41, 0xAE03
SET_REGION2, CREATE_MEMFD, SET_ATTRIBUTES, SEV_ISSUE = 0x40A0AE49, 0xC040AED4, 0x4020AED2, 0xC0105300
CAP_VM_TYPES, CAP_SPLIT_IRQCHIP, ENABLE_CAP = 235, 121, 0x4068AEA3
libc = ctypes.CDLL(None, use_errno=True)
libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)


class Failed(Exception):
    pass


def call(step, fd, request, arg, code=None):
    r = libc.ioctl(fd, request, arg)
    if r < 0:
        error = ctypes.get_errno()
        raise Failed(f"{step} {errno.errorcode[error]} {code() if code else 0}", error)
    return r


def issue(step, fd, command, data=b""):
    """KVM_MEMORY_ENCRYPT_OP: SEV's and TDX's commands have the other side's code at byte 16."""
    buffer = ctypes.create_string_buffer(data, max(len(data), 1))
    cmd = ctypes.create_string_buffer(struct.pack("<IIQQ", command, 0, ctypes.addressof(buffer) if data else 0, 0), 24)
    for attempt in (1, 2):
        try:
            call(step, fd, ENCRYPT_OP, ctypes.addressof(cmd), lambda: struct.unpack_from("<I", cmd, 16)[0])
            return
        except Failed as failure:
            if failure.args[1] != errno.EAGAIN or attempt == 2:
                raise


def device(step, path):
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise Failed(f"{step} {errno.errorcode[error.errno]} 0", error.errno) from None


def private_memory(vm, pages, gpa=0):
    memory = ctypes.create_string_buffer((pages + 1) * PAGE)
    address = -(-ctypes.addressof(memory) // PAGE) * PAGE
    memfd = call("guest-memfd", vm, CREATE_MEMFD, struct.pack("<QQ48x", pages * PAGE, 0))
    region = struct.pack("<IIQQQQI", 0, 4, gpa, pages * PAGE, address, 0, memfd).ljust(160, b"\0")
    call("slot", vm, SET_REGION2, region)
    call("memory-attributes", vm, SET_ATTRIBUTES, struct.pack("<QQQQ", gpa, pages * PAGE, 8, 0))
    return memory, address


def launch_snp(vm):
    issue("init", vm, 22, bytes(64))
    issue("start", vm, 100, struct.pack("<Q", 0x30000).ljust(72, b"\0"))
    call("create-vcpu", vm, CREATE_VCPU, 0)
    memory, address = private_memory(vm, 1)
    issue("update", vm, 101, struct.pack("<QQQB", 0, address, PAGE, 1).ljust(64, b"\0"))
    del memory
    issue("finish", vm, 102, bytes(88))


def launch_sev(vm):
    issue("init", vm, 22, bytes(64))
    issue("start", vm, 2, struct.pack("<II", 0, 1).ljust(40, b"\0"))
    memory = ctypes.create_string_buffer(2 * PAGE)
    address = -(-ctypes.addressof(memory) // PAGE) * PAGE
    call("register-region", vm, REG_REGION, struct.pack("<QQ", address, PAGE))
    issue("update", vm, 3, struct.pack("<QII", address, PAGE, 0))
    out = ctypes.create_string_buffer(48)
    issue("measure", vm, 6, struct.pack("<QII", ctypes.addressof(out), 48, 0))
    issue("finish", vm, 7)


def launch_tdx(vm):
    call("split", vm, ENABLE_CAP, struct.pack("<IIQ", CAP_SPLIT_IRQCHIP, 0, 24).ljust(104, b"\0"))
    issue("tdx-capabilities", vm, 0, struct.pack("<2048xII", 256, 0).ljust(2048 + 8 + 256 * 40, b"\0"))
    entry = struct.pack("<IIIIIII", 0x80000008, 0, 0, 48 << 16 | 48, 0, 0, 0).ljust(40, b"\0")
    issue("tdx-init", vm, 1, struct.pack("<QQ", 1 << 28, 0xE7).ljust(256, b"\0") + struct.pack("<II", 1, 0) + entry)
    vcpu = call("create-vcpu", vm, CREATE_VCPU, 0)
    issue("tdx-vcpu", vcpu, 2)
    memory, address = private_memory(vm, 1)
    issue("tdx-memory", vcpu, 3, struct.pack("<QQQ", address, 0, 1))
    del memory
    issue("tdx-finish", vm, 4)


def launch(kind):
    types = {"sev": (2, launch_sev), "sev-es": (3, launch_sev), "snp": (4, launch_snp), "tdx": (5, launch_tdx)}
    number, run = types[kind]
    kvm = device("open-kvm", "/dev/kvm")
    if kind != "tdx":
        status = ctypes.create_string_buffer(12)
        cmd = ctypes.create_string_buffer(struct.pack("<IQI", 1, ctypes.addressof(status), 0), 16)
        call("platform-status", device("open-sev", "/dev/sev"), SEV_ISSUE, ctypes.addressof(cmd))
    if not call("vm-types", kvm, CHECK_EXTENSION, CAP_VM_TYPES) >> number & 1:
        raise Failed("vm-types missing 0", 0)
    run(call("create-vm", kvm, CREATE_VM, number))


def main():
    os.environ["CVMSPAWN_SEVSIM_STEP_AFTER"] = "-1"  # nothing here executes CPUID
    for argument in sys.argv[1:]:
        kind, _, name = argument.partition(":")
        os.environ["CVMSPAWN_SEVSIM_FAULTS"] = name
        try:
            launch(kind)
            outcome = "ok"
        except Failed as failure:
            outcome = failure.args[0]
        print(f"{argument} {outcome}", flush=True)


main()
