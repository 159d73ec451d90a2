# SPDX-License-Identifier: LGPL-2.1-or-later
"""Members of KubeVirt's API that an exported instance uses: names and types of the published OpenAPI schema (github.com/kubevirt/kubevirt,
api/openapi-spec/swagger.json, commit d923fdb815cd, August 2026; the definition is named by each key). Types are JSON's; "Quantity" is a text or
a number; another name is a definition here; [X] is an array of X. Each definition has all members that the schema has, or those up to "..."."""

# Members that the schema requires.
REQUIRED = {"VirtualMachineInstance": {"spec"}, "VirtualMachineInstanceSpec": {"domain"}, "DomainSpec": {"devices"}, "KernelBootContainer": {"image"},
            "Disk": {"name"}, "Volume": {"name"}, "PersistentVolumeClaimVolumeSource": {"claimName"}}
# What the schema does not have, and is proposed: written without --hook-sidecar only, with a warning.
PROPOSED = {"kernelHashes": "boolean", "policy": "string", "hostData": "string", "idBlock": "string", "idAuth": "string"}
DEFINITIONS = {
    "VirtualMachineInstance": {"apiVersion": "string", "kind": "string", "metadata": "ObjectMeta", "spec": "VirtualMachineInstanceSpec", "status": "object"},
    "ObjectMeta": {"name": "string", "annotations": "object", "...": ""},
    "VirtualMachineInstanceSpec": {
        "accessCredentials": ["object"], "affinity": "object", "architecture": "string", "dnsConfig": "object", "dnsPolicy": "string",
        "domain": "DomainSpec", "evictionStrategy": "string", "hostname": "string", "livenessProbe": "object", "networks": ["object"],
        "nodeSelector": "object", "priorityClassName": "string", "readinessProbe": "object", "resourceClaims": ["object"], "schedulerName": "string",
        "serviceAccountName": "string", "startStrategy": "string", "subdomain": "string", "terminationGracePeriodSeconds": "integer",
        "tolerations": ["object"], "topologySpreadConstraints": ["object"], "utilityVolumes": ["object"], "volumes": ["Volume"]},
    "DomainSpec": {"chassis": "object", "clock": "object", "cpu": "CPU", "devices": "Devices", "features": "object", "firmware": "Firmware",
                   "ioThreads": "object", "ioThreadsPolicy": "string", "launchSecurity": "LaunchSecurity", "machine": "Machine", "memory": "Memory",
                   "rebootPolicy": "string", "resources": "object"},
    "CPU": {"cores": "integer", "dedicatedCpuPlacement": "boolean", "features": ["object"], "isolateEmulatorThread": "boolean", "maxSockets": "integer",
            "model": "string", "numa": "object", "realtime": "object", "sockets": "integer", "threads": "integer"},
    "Memory": {"guest": "Quantity", "hugepages": "object", "maxGuest": "Quantity", "reservedOverhead": "object"},
    "Machine": {"type": "string"},
    "Firmware": {"acpi": "object", "bootloader": "Bootloader", "kernelBoot": "KernelBoot", "serial": "string", "uuid": "string"},
    "Bootloader": {"bios": "object", "efi": "EFI"},
    "EFI": {"persistent": "boolean", "secureBoot": "boolean"},
    "KernelBoot": {"container": "KernelBootContainer", "kernelArgs": "string"},
    "KernelBootContainer": {"image": "string", "imagePullPolicy": "string", "imagePullSecret": "string", "initrdPath": "string", "kernelPath": "string"},
    "LaunchSecurity": {"sev": "object", "snp": "SEVSNP", "tdx": "object"},
    "SEVSNP": {},
    "Devices": {"autoattachGraphicsDevice": "boolean", "autoattachMemBalloon": "boolean", "autoattachSerialConsole": "boolean", "disks": ["Disk"], "...": ""},
    "Disk": {"bootOrder": "integer", "cdrom": "object", "disk": "DiskTarget", "lun": "object", "name": "string", "...": ""},
    "DiskTarget": {"bus": "string", "pciAddress": "string", "readonly": "boolean"},
    "Volume": {"name": "string", "persistentVolumeClaim": "PersistentVolumeClaimVolumeSource", "...": ""},
    "PersistentVolumeClaimVolumeSource": {"claimName": "string", "hotpluggable": "boolean", "readOnly": "boolean"},
}
PLAIN = {"string": (str,), "integer": (int,), "boolean": (bool,), "object": (dict,), "Quantity": (str, int)}


def problems(value, kind="VirtualMachineInstance", path="", proposed=False):
    """What the schema would refuse in a value, a text each."""
    if isinstance(kind, list):
        if not isinstance(value, list):
            return [f"{path}: not an array"]
        return [p for i, item in enumerate(value) for p in problems(item, kind[0], f"{path}[{i}]", proposed)]
    if kind in PLAIN:
        return [] if type(value) in PLAIN[kind] else [f"{path}: {type(value).__name__}, expected {kind}"]
    if not isinstance(value, dict):
        return [f"{path}: not an object ({kind})"]
    members = DEFINITIONS[kind] | (PROPOSED if proposed and kind == "SEVSNP" else {})
    out = [f"{path}.{name}: missing" for name in sorted(REQUIRED.get(kind, set()) - set(value))]
    for name, item in value.items():
        out += problems(item, members[name], f"{path}.{name}", proposed) if name in members else [f"{path}.{name}: not a member of {kind}"]
    return out
