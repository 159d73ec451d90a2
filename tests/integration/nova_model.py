# SPDX-License-Identifier: LGPL-2.1-or-later
"""A model of Nova's libvirt driver: the domain that it writes for an image and a flavor. It was written from Nova's documentation and source
(2026-08), by its rules and not its code, for tests without a network; tests/interop/test_nova.py asks Nova itself."""

from xml.sax.saxutils import escape

POLICY = {"amd-sev": "0x0033", "amd-sev-es": "0x0037", "amd-sev-snp": "0x00030000"}


def domain(image, flavor, cpu, firmware, kernel=None, initrd=None, device="/dev/vda"):
    """XML. Nova leaves the firmware to libvirt (<os firmware='efi'>), which picks the node's: it is named here."""
    p, f = image["properties"], flavor["properties"]
    assert "true" in (p.get("hw_mem_encryption"), f.get("hw:mem_encryption"))
    model = p.get("hw_mem_encryption_model") or f.get("hw:mem_encryption_model") or "amd-sev"
    boot = ""
    if p.get("kernel_id"):
        words = p.get("os_command_line") or f"root={device} console=tty0 console=ttyS0 console=hvc0"
        boot = f"<kernel>{kernel}</kernel>" + (f"<initrd>{initrd}</initrd>" if p.get("ramdisk_id") else "") + f"<cmdline>{escape(words)}</cmdline>"
    snp = model == "amd-sev-snp"
    hashes = f" kernelHashes='{'yes' if boot else 'no'}'"
    lock = "" if snp else "<memoryBacking><locked/></memoryBacking>"
    kind = f"type='sev-snp' authorKey='no' vcek='yes'{hashes}" if snp else "type='sev'"
    return f"""<domain type='kvm'><name>instance-00000001</name><memory>{flavor["ram"] << 10}</memory><vcpu>{flavor["vcpus"]}</vcpu>{lock}
<os><type arch='x86_64' machine='q35'>hvm</type><loader type='rom' stateless='yes'>{firmware}</loader>{boot}</os>
<features><acpi/><apic/></features><cpu mode='custom' match='exact'><model>{cpu}</model></cpu>
<launchSecurity {kind}><policy>{POLICY[model]}</policy></launchSecurity></domain>"""
