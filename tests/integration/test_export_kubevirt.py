# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn export kubevirt` and `measure --from-kubevirt=`; the hook for releases without the fields is run on a domain in KubeVirt's form.
KubeVirt itself does not run here."""

import json
import subprocess

import export_launches
import kubevirt_api
import pytest
from export_launches import LAUNCHES
from sevsim_host import build_folder

PROGRAMS = build_folder() / "programs"
SECONDS = 120
LAUNCH = ["--coco=sev-snp", "--cpu=EPYC-Milan", "--firmware=fw.fd", "--linux=kernel", "--initrd=initrd"]
IMAGE = "--kernel-image=registry.example/kernel:1"
REFUSED = ("--vcek", "--console-transport", "--extra-drive", "--network", "--image-disk-type=virtio-scsi")
SNP = [(options, words) for options, words in LAUNCHES if "--coco=sev-snp" in options and not any(o.startswith(REFUSED) for o in options)]
# The domain of KubeVirt 1.9's virt-launcher, as far as it matters: no kernelHashes, a fixed policy.
DOMAIN = """<domain type="kvm"><name>default_x</name><memory unit="b">{memory}</memory><vcpu placement="static">{vcpus}</vcpu>
<os><type arch="x86_64" machine="q35">hvm</type><loader readonly="yes" secure="no" type="rom">{firmware}</loader><kernel>{kernel}</kernel>
<initrd>{initrd}</initrd><cmdline>{words}</cmdline></os><cpu mode="custom"><model>{cpu}</model></cpu>
<launchSecurity type="sev-snp"><policy>0x30000</policy></launchSecurity></domain>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("kubevirt")
    export_launches.make_files(path)
    return path


def call(folder, verb, *args, stdin=None):
    return subprocess.run([PROGRAMS / f"verb-{verb}", *args], cwd=folder, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False)


def ok(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def exported(folder, launch, *options):
    words, tail = launch
    return json.loads(ok(call(folder, "export", "kubevirt", IMAGE, *options, *words, "--", *tail)))


def back(folder, vmi, *options, kernel="kernel", initrd="initrd"):
    container = vmi["spec"]["domain"]["firmware"]["kernelBoot"]["container"]
    files = [f"--kernel={kernel}", *([f"--initrd={initrd}"] if "initrdPath" in container else [])]
    return call(folder, "measure", "--from-kubevirt=-", "--ovmf=fw.fd", *files, *options, stdin=json.dumps(vmi))


@pytest.mark.parametrize("launches", [SNP[::12], pytest.param(SNP, marks=pytest.mark.full)], ids=["some", "all"])
def test_round_trip(folder, tmp_path, launches):
    assert len(SNP) >= 40
    for i, launch in enumerate(launches):
        out = tmp_path / str(i)
        vmi = exported(folder, launch, f"--output={out}")
        assert vmi["kind"] == "VirtualMachineInstance" and list(vmi["spec"]["domain"]["launchSecurity"]) == ["snp"]
        files = {name: out / name if (out / name).exists() else name for name in ("kernel", "initrd")}
        assert ok(back(folder, vmi, **files)) == ok(call(folder, "measure", *launch[0], "--", *launch[1])), launch


def test_fields(folder):
    data = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    vmi = exported(folder, ([*LAUNCH, "--cpus=3", "--ram=3G", f"--host-data={data}", "--image=disk.raw", "--allow-untrusted=disk", "--machine=web"],
                            ["root=/dev/vda"]))
    domain = vmi["spec"]["domain"]
    assert domain["cpu"] == {"model": "EPYC-Milan", "cores": 3, "sockets": 1, "threads": 1} and domain["memory"] == {"guest": "3072Mi"}
    assert domain["launchSecurity"] == {"snp": {"kernelHashes": True, "hostData": data}}
    assert domain["firmware"]["kernelBoot"] == {"kernelArgs": "console=ttyS0 root=/dev/vda", "container": {
        "image": "registry.example/kernel:1", "kernelPath": "/vmlinuz", "initrdPath": "/initrd.img"}}
    assert domain["firmware"]["bootloader"] == {"efi": {"secureBoot": False}} and domain["machine"] == {"type": "q35"}
    assert vmi["spec"]["volumes"] == [{"name": "disk", "persistentVolumeClaim": {"claimName": "web-disk"}}]


DISK = ["--image=disk.raw", "--allow-untrusted=disk"]
EACH = ([*LAUNCH, *DISK, "--cpus=3", "--host-data=" + "11" * 32, "--coco-policy=nosmt", "--uuid=11111111-2222-3333-4444-555555555555", "--machine=on"],
        ["quiet", "a='b c'", "c=\"\\\\\"", "\u00e9: #"])


def test_published_schema(folder):
    """Each member has the name and type of KubeVirt's API; without the hook those that are proposed for it, too, and nothing else."""
    vmi = exported(folder, EACH)
    assert kubevirt_api.problems(vmi, proposed=True) == []
    found = kubevirt_api.problems(vmi)
    assert len(found) == 3 and all(p.endswith("not a member of SEVSNP") for p in found)
    script, hooked = exported(folder, EACH, "--hook-sidecar=registry.example/sidecar-shim:1")["items"]
    assert script["kind"] == "ConfigMap" and kubevirt_api.problems(hooked) == []


@pytest.mark.parametrize("path, value, problem", [
    ("spec/domain/cpu/cores", "3", ".spec.domain.cpu.cores: str, expected integer"),
    ("spec/domain/firmware/bootloader/efi/secureBoot", 0, ": int, expected boolean"),
    ("spec/domain/devices", None, ".spec.domain.devices: missing"),
    ("spec/domain/firmware/kernelBoot/container/image", None, ".image: missing"),
    ("spec/domain/devices/disks", {}, ".disks: not an array"),
    ("spec/domain/machine", "q35", "not an object (Machine)"),
    ("spec/domain/Machine", {}, "not a member of DomainSpec"),
])
def test_schema_finds(folder, path, value, problem):
    vmi = exported(folder, EACH)
    put(path, value)(vmi)
    found = kubevirt_api.problems(vmi, proposed=True)
    assert len(found) == 1 and problem in found[0]


def test_reader_knows_the_schema(folder):
    """Members of the schema are known to the reader: it refuses those that matter with a reason, and never as unknown."""
    vmi = exported(folder, EACH)
    places = {"VirtualMachineInstanceSpec": "spec", "DomainSpec": "spec/domain", "CPU": "spec/domain/cpu", "Memory": "spec/domain/memory",
              "Machine": "spec/domain/machine", "Firmware": "spec/domain/firmware", "Bootloader": "spec/domain/firmware/bootloader",
              "EFI": "spec/domain/firmware/bootloader/efi", "KernelBoot": "spec/domain/firmware/kernelBoot",
              "KernelBootContainer": "spec/domain/firmware/kernelBoot/container"}
    for kind, place in places.items():
        target = vmi
        for key in place.split("/"):
            target = target[key]
        for name in kubevirt_api.DEFINITIONS[kind].keys() - target.keys():
            target[name] = {}
            done = back(folder, vmi)
            assert f"member {name}: unknown" not in done.stderr, (kind, name, done.stderr)
            del target[name]


@pytest.mark.parametrize("hook", [[], ["--hook-sidecar=registry.example/sidecar-shim:1"]], ids=["fields", "hook"])
def test_yaml(folder, hook):
    """The same objects as JSON has, by a reader of YAML 1.1 as Kubernetes has it; the digest of the YAML is that of the launch."""
    words, tail = EACH
    text = ok(call(folder, "export", "kubevirt", IMAGE, "--yaml", *hook, *words, "--", *tail))
    assert not text.startswith("{") and "apiVersion: \"" in text
    if not hook:
        done = call(folder, "measure", "--from-kubevirt=-", "--ovmf=fw.fd", "--kernel=kernel", "--initrd=initrd", stdin=text)
        assert ok(done) == ok(call(folder, "measure", *words, "--", *tail))
    yaml = pytest.importorskip("yaml", reason="PyYAML (python3-yaml) is not installed")
    assert yaml.safe_load(text) == exported(folder, EACH, *hook)


@pytest.mark.parametrize("change, message", [
    (lambda t: t + "---\n" + t, "a second document"),
    (lambda t: t.replace("spec:", "spec: &a", 1), "anchors are not supported"),
    (lambda t: t.replace("spec:", "spec: !x", 1), "tags are not supported"),
    (lambda t: t + "kind: x\n", "duplicate key 'kind'"),
    (lambda t: t.replace("  domain:", " domain:", 1), "line "),
    (lambda t: "", "empty"),
])
def test_yaml_that_is_refused(folder, change, message):
    words, tail = EACH
    text = ok(call(folder, "export", "kubevirt", IMAGE, "--yaml", *words, "--", *tail))
    done = call(folder, "measure", "--from-kubevirt=-", "--ovmf=fw.fd", "--kernel=kernel", "--initrd=initrd", stdin=change(text))
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr and "--from-kubevirt" in done.stderr, done.stderr


@pytest.mark.parametrize("change", [[], ["--host-data=" + "11" * 32], ["--coco-policy=nosmt"]])
def test_hook(folder, change):
    """The hook turns the domain of a release into the launch's."""
    launch = ([*LAUNCH, *change, "--cpus=2"], ["quiet", "a&b"])
    done = exported(folder, launch, "--hook-sidecar=registry.example/sidecar-shim:1")
    script, vmi = done["items"]
    assert vmi["spec"]["domain"]["launchSecurity"] == {"snp": {}}
    hook = json.loads(vmi["metadata"]["annotations"]["hooks.kubevirt.io/hookSidecars"])[0]
    assert hook["configMap"] == {"name": script["metadata"]["name"], "key": "on-define-domain.sh", "hookPath": "/usr/bin/onDefineDomain"}
    xml = DOMAIN.format(memory=2 << 30, vcpus=2, firmware=folder / "fw.fd", kernel=folder / "kernel", initrd=folder / "initrd",
                        words="console=ttyS0 quiet a&amp;b", cpu="EPYC-Milan")
    run = subprocess.run(["sh", "-c", script["data"]["on-define-domain.sh"], "hook", "--vmi", "{}", "--domain", xml], capture_output=True, text=True,
                         timeout=SECONDS, check=True)
    digest = ok(call(folder, "measure", *launch[0], "--", *launch[1]))
    assert ok(call(folder, "measure", "--from-libvirt=-", stdin=run.stdout)) == digest
    assert "NOT MEASURED" in call(folder, "measure", "--from-libvirt=-", stdin=xml).stderr
    policy = "0x00020000" if "--coco-policy=nosmt" in change else "0x00030000"
    assert f"<policy>{policy}</policy>" in run.stdout and ("<hostData>" in run.stdout) == ("host-data" in str(change))
    refused = back(folder, vmi)
    assert refused.returncode == 1 and "--from-libvirt" in refused.stderr and refused.stdout == ""


@pytest.mark.parametrize("change, message", [
    (["--coco=sev"], "SEV cannot be exported to kubevirt"),
    (["--vcek=no"], "--vcek=no: KubeVirt has no field"),
    (["--console-transport=virtio"], "serial port"),
    (["--extra-drive=disk.raw"], "--extra-drive cannot be exported to kubevirt"),
    (["--single-image"], "--single-image"),
    (["--kernel-image="], "--kernel-image='' is not the name"),
    (["--kernel-image=a b"], "--kernel-image='a b' is not the name"),
    (["--hook-sidecar="], "--hook-sidecar='' is not the name"),
    (["--hook-sidecar=a\tb"], "is not the name of a container image"),
    (["--machine=My_Guest"], "--machine=My_Guest cannot be the name"),
    (["--machine=a.b"], "--machine=a.b cannot be the name"),
    (["--machine=a-"], "--machine=a- cannot be the name"),
    (["--machine=" + 64 * "a"], "at most 63"),
])
def test_refusals(folder, change, message):
    done = call(folder, "export", "kubevirt", IMAGE, *LAUNCH, *change)
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr


def test_longest_name(folder):
    assert exported(folder, ([*LAUNCH, "--machine=" + 63 * "a"], []))["metadata"]["name"] == 63 * "a"


def test_kernel_image_is_needed(folder):
    done = call(folder, "export", "kubevirt", *LAUNCH)
    assert done.returncode == 1 and "--kernel-image=NAME" in done.stderr


def put(path, value):
    def change(vmi):
        *head, last = path.split("/")
        for key in head:
            vmi = vmi.setdefault(key, {})
        if value is None:
            vmi.pop(last, None)
        else:
            vmi[last] = value
    return change


@pytest.mark.parametrize("change, message", [
    (put("kind", "Pod"), "expected a VirtualMachineInstance or VirtualMachine"),
    (put("spec/domain/newField", 1), "spec.domain's member newField: unknown"),
    (put("spec/newField", 1), "spec's member newField: unknown"),
    (put("spec/domain/cpu/newField", 1), "spec.domain.cpu's member newField: unknown"),
    (put("spec/domain/firmware/acpi", {}), "it adds a table"),
    (put("spec/domain/features/smm", {"enabled": True}), "has no SMM"),
    (put("spec/domain/launchSecurity/snp/newField", 1), "launchSecurity.snp's member newField: unknown"),
    (put("spec/domain/memory/newField", 1), "spec.domain.memory's member newField: unknown"),
    (put("spec/domain/machine/newField", 1), "spec.domain.machine's member newField: unknown"),
    (put("spec/domain/resources", {"request": {}}), "spec.domain.resources' member request: unknown"),
    (put("spec/domain/firmware/newField", 1), "spec.domain.firmware's member newField: unknown"),
    (put("spec/domain/firmware/bootloader/newField", 1), "firmware.bootloader's member newField: unknown"),
    (put("spec/domain/firmware/bootloader/bios", {}), "SEV-SNP needs firmware.bootloader.efi"),
    (put("spec/domain/firmware/bootloader/efi/newField", 1), "firmware.bootloader.efi's member newField: unknown"),
    (put("spec/domain/firmware/bootloader/efi/persistent", True), "a variable store"),
    (put("spec/domain/firmware/kernelBoot/kernelArg", "quiet"), "firmware.kernelBoot's member kernelArg: unknown"),
    (put("spec/domain/firmware/kernelBoot/container/initrdpath", "/i"), "firmware.kernelBoot.container's member initrdpath: unknown"),
    (put("spec/domain/firmware/kernelBoot", {"kernelArgs": "quiet", "container": {"image": "i"}}), "firmware.kernelBoot.container.kernelPath is missing"),
    (put("spec/domain/firmware/kernelBoot/container/kernelPath", ""), "firmware.kernelBoot.container.kernelPath is missing"),
    (put("spec/domain/launchSecurity", {"sev": {}}), "launchSecurity.sev is not supported"),
    (put("spec/domain/launchSecurity", None), "launchSecurity.snp is missing"),
    (put("spec/domain/firmware/bootloader", None), "needs firmware.bootloader.efi"),
    (put("spec/domain/firmware/bootloader", {"efi": {}}), "secureBoot=false"),
    (put("spec/domain/machine/type", "pc"), "needs q35"),
    (put("spec/domain/cpu/model", "host-model"), "--vcpu-sig=NUMBER"),
    (put("spec/domain/cpu/model", None), "--vcpu-sig=NUMBER"),
    (put("spec/domain/cpu", []), "spec.domain.cpu: expected an object"),
    (put("spec/domain/cpu/cores", 0), "cpu.cores is not a number"),
    (put("spec/domain/memory/guest", "2G"), "expected a size such as 2048Mi"),
    (put("spec/domain/launchSecurity/snp/kernelHashes", "yes"), "neither true nor false"),
    (put("spec/domain/launchSecurity/snp/hostData", "AA=="), "host-data"),
])
def test_what_is_refused(folder, change, message):
    vmi = exported(folder, (LAUNCH, ["quiet"]))
    change(vmi)
    done = back(folder, vmi)
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr


def test_null_is_a_member_that_is_not_there(folder):
    """As Kubernetes reads it."""
    vmi = exported(folder, (LAUNCH, ["quiet"]))
    digest = ok(back(folder, vmi))
    put("spec/domain/resources", None)(vmi)
    assert ok(back(folder, vmi)) == digest


def test_what_is_missing_is_named(folder):
    """A kernelBoot without container, and consent to a nested member by its name; a VirtualMachine's instance type is refused."""
    vmi = exported(folder, (LAUNCH, ["quiet"]))
    digest = ok(back(folder, vmi))
    boot = vmi["spec"]["domain"]["firmware"]["kernelBoot"]
    boot["container"]["later"] = 1
    assert ok(back(folder, vmi, "--assume-unmeasured=later")) == digest
    del boot["container"]
    for files in ([], ["--kernel=kernel"]):
        done = call(folder, "measure", "--from-kubevirt=-", "--ovmf=fw.fd", *files, stdin=json.dumps(vmi))
        assert done.returncode == 1 and "firmware.kernelBoot.container is missing" in done.stderr, done.stderr
    machine = {"kind": "VirtualMachine", "spec": {"instancetype": {"name": "u1"}, "template": {"spec": vmi["spec"]}}}
    done = call(folder, "measure", "--from-kubevirt=-", "--ovmf=fw.fd", stdin=json.dumps(machine))
    assert done.returncode == 1 and "member instancetype: it sets members of the instance" in done.stderr, done.stderr


def test_forms(folder):
    vmi = exported(folder, ([*LAUNCH, "--cpus=4"], ["quiet"]))
    digest = ok(back(folder, vmi))
    vmi["spec"]["domain"]["cpu"] |= {"cores": 1, "sockets": 2, "threads": 2}
    machine = {"kind": "VirtualMachine", "spec": {"running": True, "template": {"metadata": {}, "spec": vmi["spec"]}}}
    done = call(folder, "measure", "--from-kubevirt=-", "--ovmf=fw.fd", "--kernel=kernel", "--initrd=initrd", stdin=json.dumps(machine))
    assert ok(done) == digest
    vmi["spec"]["domain"]["cpu"]["model"] = "host-passthrough"
    assert ok(back(folder, vmi, "--vcpu-sig=0xa00f11")) == digest
    del vmi["spec"]["domain"]["launchSecurity"]["snp"]["kernelHashes"]
    done = back(folder, vmi, "--vcpu-type=EPYC-Milan")
    assert done.returncode == 0 and done.stdout != digest and "NOT MEASURED: the kernel" in done.stderr
    done = call(folder, "measure", "--from-kubevirt=-", "--ovmf=fw.fd", "--vcpu-type=EPYC-Milan", stdin=json.dumps(vmi))
    assert done.returncode == 1 and "registry.example/kernel:1" in done.stderr
    done = call(folder, "measure", "--from-kubevirt=-", "--vcpu-type=EPYC-Milan", stdin=json.dumps(vmi))
    assert done.returncode == 1 and "virt-launcher" in done.stderr
