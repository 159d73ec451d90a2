# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests/lib/standin-libvirt.c runs to start a domain: the XML comes on standard input, and what its QEMU and secure processor would
say goes into the host's JSON file. The platform's keys are those that sevsim-identity made up. `lies` in that file are what a
bad host changes: files that it swaps, an answer that it alters, kernelHashes that it switches off.

Also a module: start(host, xml) -> the domain."""

import base64
import hashlib
import json
import os
import struct
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import sev_owner  # noqa: E402

RESET = 0x80B004
SIGNATURE = 0x800F12  # EPYC-v4


def digest(root, lies, policy):
    def read(name):
        path = lies.get(name) or root.findtext(f"os/{name}")
        return Path(path).read_bytes() if path else b""

    data = read("loader")
    if root.find("launchSecurity").get("kernelHashes") == "yes" and not lies.get("no-hashes"):
        data += sev_owner.kernel_table(read("kernel"), read("initrd"), (root.findtext("os/cmdline") or "").encode())
    if policy & 4:
        count = int(lies.get("vcpus") or root.findtext("vcpu") or 1)
        fpu = bool(lies.get("init2"))
        data += sev_owner.vmsa(SIGNATURE, fpu=fpu) + sev_owner.vmsa(SIGNATURE, RESET, fpu=fpu) * (count - 1)
    return hashlib.sha256(data).digest()


def start(host, xml):
    from cryptography.hazmat.primitives import serialization

    root, lies = ElementTree.fromstring(xml), host.get("lies", {})
    launch = root.find("launchSecurity")
    policy = int(launch.findtext("policy"), 0)
    key = serialization.load_pem_private_key(Path(host["platform"], "pdh.key").read_bytes(), None)
    godh, session = (base64.b64decode(launch.findtext(n), validate=True) for n in ("dhCert", "session"))
    tek, tik = sev_owner.open_session(key, godh, session, policy)
    answer = {
        "sev-measurement": sev_owner.measurement(tik, digest(root, lies, policy), policy, nonce=os.urandom(16)),
        "sev-api-major": 1,
        "sev-api-minor": 55,
        "sev-build-id": 21,
        "sev-policy": policy,
        **lies.get("answer", {}),
    }
    if "flip" in lies:
        data = bytearray(base64.b64decode(answer["sev-measurement"]))
        data[lies["flip"]] ^= 1
        answer["sev-measurement"] = base64.b64encode(data).decode()
    # what the secure processor knows, for the test to open the packet with
    host["keys"] = [base64.b64encode(k).decode() for k in (tek, tik)]
    return {"active": True, "state": 3, "vcpus": int(root.findtext("vcpu") or 1), "xml": xml, "launch": answer}


def main():
    path = Path(os.environ["STANDIN_LIBVIRT"])
    host, text = json.loads(path.read_text()), sys.stdin.read()
    name = ElementTree.fromstring(text).findtext("name")
    domain = next(d for d in host["domains"] if d["name"] == name)
    domain.update(start(host, text))
    path.write_text(json.dumps(host))


if __name__ == "__main__":
    try:
        main()
    except OSError:
        sys.exit(1)  # as QEMU, which cannot read its files either
    except (ValueError, struct.error) as e:
        sys.exit(f"LAUNCH_START: {e}")
