# SPDX-License-Identifier: LGPL-2.1-or-later
"""A FUSE file system with large files, called by numbers, that give their first bytes and no others, as a network
file system whose server is gone. Just enough of include/uapi/linux/fuse.h, protocol 7.31."""

import ctypes
import os
import stat
import struct
import threading
import time

from sevsim_host import skip_or_fail

LOOKUP, FORGET, GETATTR, OPEN, READ, FLUSH, INIT, INTERRUPT = 1, 2, 3, 14, 15, 25, 26, 36
ROOT = 1
FOREVER = 3600
BEGINNING = 1 << 20
ASYNC_READ = 1
MNT_DETACH = 2


class SilentFs:
    def __init__(self, folder, heads):
        self.folder, self.size, self.reads = folder, 16 * BEGINNING, 0
        self.heads = [head.ljust(BEGINNING, b"\0") for head in heads]

    def __enter__(self):
        self.folder.mkdir()
        self.libc = ctypes.CDLL(None, use_errno=True)
        try:
            self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        except OSError as e:
            skip_or_fail(f"/dev/fuse: {e.strerror}")
        data = f"fd={self.fd},rootmode=40755,user_id={os.getuid()},group_id={os.getgid()}".encode()
        if self.libc.mount(b"silent", os.fsencode(self.folder), b"fuse", 0, data) < 0:
            error = os.strerror(ctypes.get_errno())
            os.close(self.fd)
            skip_or_fail(f"a FUSE file system cannot be mounted: {error}")
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.libc.umount2(os.fsencode(self.folder), MNT_DETACH)
        os.close(self.fd)

    def attributes(self, node):
        mode, size = (stat.S_IFDIR | 0o755, 0) if node == ROOT else (stat.S_IFREG | 0o644, self.size)
        return struct.pack("=QQQQQQIIIIIIIIII", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, os.getuid(), os.getgid(), 0, 4096, 0)

    def answer(self, code, node, arguments):
        """The body of the answer, or an error, or None for none."""
        if code == INIT:
            return struct.pack("=IIIIHHIIHHI28x", 7, 31, 0, ASYNC_READ, 0, 0, 1 << 17, 1, 0, 0, 0)
        if code == LOOKUP:
            node = ROOT + 1 + int(arguments.rstrip(b"\0"))
            return struct.pack("=QQQQII", node, 0, FOREVER, FOREVER, 0, 0) + self.attributes(node)
        if code == GETATTR:
            return struct.pack("=QII", FOREVER, 0, 0) + self.attributes(node)
        if code == OPEN:
            return struct.pack("=QII", 0, 0, 0)
        if code == FLUSH:
            return b""
        if code == INTERRUPT:
            return -4  # EINTR
        if code == READ:
            _, offset, size = struct.unpack_from("=QQI", arguments)
            if offset + size <= BEGINNING:
                return self.heads[node - ROOT - 1][offset : offset + size]
            self.reads += 1
        if code in (READ, FORGET):
            return None
        return -38  # ENOSYS

    def serve(self):
        while True:
            try:
                request = os.read(self.fd, 1 << 18)
            except OSError:
                return
            _, code, unique, node = struct.unpack_from("=IIQQ", request)
            body = self.answer(code, node, request[40:])
            if body is None:
                continue
            if code == INTERRUPT:  # the reader is killed: without an answer it stays
                (unique,) = struct.unpack_from("=Q", request, 40)
            error, body = (body, b"") if isinstance(body, int) else (0, body)
            try:
                os.write(self.fd, struct.pack("=IiQ", 16 + len(body), error, unique) + body)
            except OSError:
                pass  # the reader is gone

    def wait_until_read(self, n):
        deadline = time.monotonic() + 60
        while self.reads < n:
            assert time.monotonic() < deadline, "nobody reads the file"
            time.sleep(0.01)
