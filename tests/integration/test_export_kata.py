# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn export kata` and `measure --from-kata=`: configuration keys, the kernel command line that Kata composes of them, and the digest that a
real QEMU has for Kata's QEMU command line on the simulated host. Kata itself does not run here."""

import base64
import hashlib
import itertools
import shlex
import subprocess

import export_launches
import pytest
from sevsim_host import build_folder, find_qemu, skip_or_fail

PROGRAMS = build_folder() / "programs"
SECONDS = 120
# As the runtime's source has them: written apart from our own composition.
FIRST = ("tsc=reliable no_timer_check rcupdate.rcu_expedited=1 i8042.direct=1 i8042.dumbkbd=1 i8042.nopnp=1 i8042.noaux=1 noreplace-smp reboot=k "
         "cryptomgr.notests net.ifnames=0 pci=lastbus=0")
ROOT = " root=/dev/vda1 rootflags=data=ordered,errors=remount-ro ro rootfstype=ext4"
MASKS = " systemd.unit=kata-containers.target systemd.mask=systemd-networkd.service systemd.mask=systemd-networkd.socket"


def line(root="", console=" console=hvc0 console=hvc1", log=" quiet systemd.show_status=false", masks="", scsi=" scsi_mod.scan=none",
         agent=" agent.launch_process_timeout=6", rest=""):
    return FIRST + root + console + log + " panic=1 selinux=0" + masks + scsi + agent + rest


INITRD = line()
IMAGE = line(ROOT, masks=MASKS)
LAUNCH = ["--coco=sev-snp", "--firmware=fw.fd", "--linux=kernel", "--exact-words"]
DISK = ["--image=disk.raw", "--allow-untrusted=disk"]
CONFIG = {"kernel": '"kernel"', "initrd": '"initrd"', "firmware": '"fw.fd"', "confidential_guest": "true", "sev_snp_guest": "true",
          "default_vcpus": "1", "default_memory": "512", "cpu_features": '"pmu=off"'}
AGENT = {"launch_process_timeout": "6"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("kata")
    export_launches.make_files(path)
    return path


def call(folder, verb, *args, stdin=None):
    return subprocess.run([PROGRAMS / f"verb-{verb}", *args], cwd=folder, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False)


def ok(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def toml(hypervisor=None, agent=None, more=""):
    def table(name, items):
        return f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in items.items() if v is not None)
    return table("hypervisor.qemu", {**CONFIG, **(hypervisor or {})}) + table("agent.kata", {**AGENT, **(agent or {})}) + more


def measured(folder, text, *options):
    return call(folder, "measure", "--from-kata=-", *options, stdin=text)


def expected(folder, words, cpus=1, initrd=True):
    files = ["--initrd=initrd"] if initrd else []
    return ok(call(folder, "measure", "--mode=snp", f"--vcpus={cpus}", "--vcpu-type=EPYC-v4", "--ovmf=fw.fd", "--kernel=kernel", *files,
                   f"--append={words}"))


@pytest.mark.parametrize("cpus, rest, more", itertools.product((1, 4), ("", "agent.x=1 y", 'a="b c" \\d'), (
    ["--initrd=initrd"], ["--initrd=initrd", "--set-credential=a:b"], DISK, ["--initrd=initrd", "--ram=3G", "--coco-policy=nosmt"])))
def test_round_trip(folder, tmp_path, cpus, rest, more):
    launch = [*LAUNCH, f"--cpus={cpus}", *more, "--", (IMAGE if more is DISK else INITRD) + (rest and " " + rest)]
    text = ok(call(folder, "export", "kata", f"--output={tmp_path / 'out'}", *launch))
    assert ok(measured(folder, text)) == ok(call(folder, "measure", *launch))


def test_keys(folder):
    text = ok(call(folder, "export", "kata", *LAUNCH, "--initrd=initrd", "--cpus=3", "--ram=1G", "--", INITRD + ' x="1"'))
    for key, value in (("kernel", f'"{folder}/kernel"'), ("initrd", f'"{folder}/initrd"'), ("firmware", f'"{folder}/fw.fd"'), ("default_vcpus", "3"),
                       ("default_memory", "1024"), ("kernel_params", '"x=\\"1\\""'), ("snp_guest_policy", "196608"), ("sev_snp_guest", "true")):
        assert f"\n{key} = {value}\n" in text + "\n", text


@pytest.mark.parametrize("hypervisor, agent, words", [
    ({}, {}, INITRD),
    ({"kernel_params": '"a b"'}, {}, INITRD + " a b"),
    ({"use_legacy_serial": "true"}, {}, line(console=" console=ttyS0")),
    ({"enable_debug": "true"}, {"enable_debug": "true"}, line(log=" debug systemd.show_status=true systemd.log_level=debug",
                                                              agent=" agent.log=debug agent.launch_process_timeout=6")),
    ({"block_device_driver": '"virtio-blk"'}, {}, line(scsi="")),
    ({}, {"launch_process_timeout": None}, line(agent="")),
    ({}, {"debug_console_enabled": "true", "cdh_api_timeout": "50", "enable_tracing": "true"},
     line(agent=" agent.trace=true agent.debug_console agent.debug_console_vport=1026 agent.cdh_api_timeout=50 agent.launch_process_timeout=6")),
])
def test_words_of_an_initrd(folder, hypervisor, agent, words):
    assert ok(measured(folder, toml(hypervisor, agent))) == expected(folder, words)


@pytest.mark.parametrize("hypervisor, root", [
    ({}, ROOT),
    ({"rootfs_type": '"erofs"'}, " root=/dev/vda1 rootflags=ro rootfstype=erofs"),
    ({"rootfs_type": '"xfs"'}, " root=/dev/vda1 rootflags=ro rootfstype=xfs"),
    ({"kernel_verity_params": '"root_hash=ab,salt=cd,data_blocks=1000,data_block_size=4096,hash_block_size=4096"'},
     ' dm-mod.create="dm-verity,,,ro,0 8000 verity 1 /dev/vda1 /dev/vda2 4096 4096 1000 0 sha256 ab cd" root=/dev/dm-0 '
     "rootflags=data=ordered,errors=remount-ro ro rootfstype=ext4"),
])
def test_words_of_an_image(folder, hypervisor, root):
    done = measured(folder, toml({"initrd": None, "image": '"disk.raw"', **hypervisor}))
    assert ok(done) == expected(folder, line(root, masks=MASKS), initrd=False)


@pytest.mark.parametrize("hypervisor, agent, more, message", [
    ({"new_key": "1"}, {}, "", "[hypervisor.qemu] key new_key: unknown"),
    ({}, {"new_key": "1"}, "", "[agent.kata] key new_key: unknown"),
    ({}, {}, "[other]\nx = 1\n", "[other] is not a table"),
    ({}, {}, "[other]\n", "[other] is not a table"),
    ({"sev_snp_guest": "false"}, {}, "", "sev_snp_guest must be true here"),
    ({"confidential_guest": None}, {}, "", "confidential_guest must be true here"),
    ({"disable_guest_selinux": "false"}, {}, "", "disable_guest_selinux must be true here"),
    ({"enable_iommu": "true"}, {}, "", "enable_iommu must be false here"),
    ({"image": '"disk.raw"'}, {}, "", "either image or initrd"),
    ({"initrd": None}, {}, "", "either image or initrd"),
    ({"firmware": '""'}, {}, "", "firmware is missing"),
    ({"default_vcpus": "-1"}, {}, "", "default_vcpus is not a number"),
    ({"machine_type": '"virt"'}, {}, "", "has q35"),
    ({"snp_id_block": '"AA=="'}, {}, "", "belong together"),
    ({"machine_accelerators": '"nopit"'}, {}, "", "leave it empty"),
    ({"pflashes": '["x"]'}, {}, "", "leave it empty"),
    ({"cpu_features": '"+new"'}, {}, "", "new"),
    ({"kernel_verity_params": '"root_hash=ab"'}, {}, "", "there is an initrd"),
    ({"kernel": "1"}, {}, "", "kernel is not a string"),
    ({"default_memory": "1.5"}, {}, "", "line 8: expected"),
    ({"kernel_params": '"""x'}, {}, "", "line 10: expected"),
    ({}, {}, "[factory]\nenable_template = true\n", "[factory] makes guests by copying"),
    ({}, {}, "[hypervisor.qemu]\n", "line 12: this table or key is in the file twice; remove one of them"),
])
def test_what_is_refused(folder, hypervisor, agent, more, message):
    done = measured(folder, toml(hypervisor, agent, more))
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr


def test_what_the_file_does_not_say(folder):
    done = measured(folder, toml(more="[runtime]\nstatic_sandbox_resource_mgmt = true\n"))
    assert ok(done) == expected(folder, INITRD) and "pass their number with --vcpus" in done.stderr and "annotations" in done.stderr
    assert ok(measured(folder, toml(), "--vcpus=4")) == expected(folder, INITRD, cpus=4)
    assert ok(measured(folder, toml({"new_key": "1"}), "--assume-unmeasured=new_key")) == expected(folder, INITRD)


@pytest.mark.parametrize("change, message", [
    (["--coco=sev"], "SEV cannot be exported to kata"),
    (["--cpu=EPYC-Milan"], "the CPU model EPYC-v4"),
    (["--host-data=" + "00" * 32], "pass that document with --initdata=FILE"),
    (["--vcek=no"], "--vcek=no: Kata has no key"),
    (["--uuid=11111111-2222-3333-4444-555555555555"], "--uuid cannot be exported to kata"),
    (DISK, "either an initrd"),
])
def test_refusals(folder, change, message):
    done = call(folder, "export", "kata", *LAUNCH, "--initrd=initrd", *change, "--", INITRD)
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr


# The document and its digest in Kata's own test of the annotation (src/runtime/pkg/oci/utils_test.go).
EMPTY_PARTS = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n" + "\n".join(f"\"{name}\" = '''\n'''\n" for name in ("aa.toml", "cdh.toml", "policy.rego"))
EMPTY_PARTS_DIGEST = "c6694bb7a29d6f37ec72a15582e004b9f3142159682db8509a304407419a49e5"


def initdata(algorithm="sha256", version="0.1.0", data="[data]\n"):
    return f'algorithm = "{algorithm}"\nversion = "{version}"\n{data}'


def test_initdata_of_a_known_document(folder):
    """Host data is the digest, on export and on the way back; the launch digest stays."""
    (folder / "known.toml").write_text(EMPTY_PARTS)
    host_data = base64.b64encode(bytes.fromhex(EMPTY_PARTS_DIGEST)).decode()
    launch = [*LAUNCH, "--initrd=initrd", "--", INITRD]
    done = call(folder, "export", "kata", "--initdata=known.toml", *launch)
    assert f"# Host data of a pod with the initdata: {host_data}\n" in done.stdout and "cc_init_data" in done.stderr
    assert call(folder, "export", "kata", "--initdata=known.toml", f"--host-data={EMPTY_PARTS_DIGEST}", *launch).stdout == done.stdout
    back = measured(folder, done.stdout, "--initdata=known.toml")
    assert ok(back) == ok(call(folder, "measure", *launch)) and f"host data '{host_data}'" in back.stderr


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_initdata_is_cut_to_the_host_data(folder, algorithm):
    data = '[data]\n"policy.rego" = """\nallow := true # \\"all\\"\n""" # a comment\nother = \'x\'\n'
    text = initdata(algorithm, data=data)
    (folder / "cut.toml").write_text(text)
    want = base64.b64encode(hashlib.new(algorithm, text.encode()).digest()[:32]).decode()
    assert f"host data '{want}'" in measured(folder, toml(), "--initdata=cut.toml").stderr


@pytest.mark.parametrize("text, message", [
    (initdata("md5"), "the algorithm of the initdata is 'md5'"),
    (initdata(version="0.2.0"), "the version of the initdata is '0.2.0'"),
    ("", "the version of the initdata is ''"),
    (initdata(data=""), "[data] is missing"),
    (initdata(data="[data]\nx = 1\n"), "key 'x' is not a string"),
    (initdata(data="x = 1\n[data]\n"), "'x' is not a key of initdata"),
    (initdata(data="[data]\n[token_configs]\n"), "[token_configs] is not a table"),
    (initdata(data="[data]\nx = '''\n"), "line 4: expected"),
    (initdata(data="[data]\nx = '''a''''''b'''\n"), "line 4: expected"),
    (initdata() + "\0", "contains a NUL"),
    (None, "cannot read"),
])
@pytest.mark.parametrize("verb", ["export", "measure"])
def test_initdata_that_is_refused(folder, tmp_path, verb, text, message):
    path = tmp_path / "initdata.toml"
    if text is not None:
        path.write_text(text)
    if verb == "export":
        done = call(folder, "export", "kata", f"--initdata={path}", *LAUNCH, "--initrd=initrd", "--", INITRD)
    else:
        done = measured(folder, toml(), f"--initdata={path}")
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr and "--initdata" in done.stderr, done.stderr


def test_initdata_and_other_host_data(folder):
    (folder / "one.toml").write_text(initdata())
    done = call(folder, "export", "kata", "--initdata=one.toml", "--host-data=" + "00" * 32, *LAUNCH, "--initrd=initrd", "--", INITRD)
    assert done.returncode == 1 and done.stdout == "" and "leave --host-data out" in done.stderr
    done = call(folder, "measure", "--initdata=one.toml", "--mode=snp")
    assert done.returncode == 1 and "--from-kata" in done.stderr
    done = call(folder, "export", "qemu", "--initdata=one.toml", *LAUNCH)
    assert done.returncode == 1 and "--initdata" in done.stderr


def test_the_words_to_begin_with_are_shown(folder):
    done = call(folder, "export", "kata", *LAUNCH, "--initrd=initrd", "--", "quiet")
    assert done.returncode == 1 and f"begin the kernel command line with '{INITRD}'" in done.stderr
    done = call(folder, "export", "kata", *LAUNCH, "--initrd=initrd", "--", INITRD + "x")
    assert done.returncode == 1


def test_real_qemu_has_the_digest(folder, tmp_path):
    """Kata's line, as its runtime logs it, started by a real QEMU on the simulated host; the reading of that line, too."""
    qemu = find_qemu()
    if not qemu or not (build_folder() / "sevsim/sevsim.so").exists():
        skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    digest = ok(measured(folder, toml({"default_vcpus": "2"})))
    argv = [qemu, "-name", "sandbox-1", "-nodefaults", "-display", "none", "-no-reboot", "-machine",
            "q35,accel=kvm,kernel_irqchip=split,confidential-guest-support=snp", "-cpu", "EPYC-v4,pmu=off", "-m", "512M", "-object",
            "sev-snp-guest,id=snp,cbitpos=51,reduced-phys-bits=1,kernel-hashes=on,policy=196608", "-kernel", "kernel", "-initrd", "initrd", "-append",
            INITRD, "-bios", "fw.fd", "-smp", "2,cores=1,threads=1,sockets=2,maxcpus=2"]
    (tmp_path / "line").write_text(shlex.join(map(str, argv)))
    assert ok(call(folder, "measure", f"--from-qemu={tmp_path}/line")) == digest
    done = subprocess.run([PROGRAMS / "verb-sevsim", f"--expect-digest={digest}", "--sev-node=0666", "--", *argv], cwd=folder, capture_output=True,
                          text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
