# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn export openstack` and the way back: the exported commands run against a stand-in for `openstack`, and what it then shows of image,
flavor and server measures as the launch. No cloud is involved."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import disk_image
import export_launches
import nova_model
import pytest
from export_launches import LAUNCHES
from sevsim_host import build_folder

PROGRAMS = build_folder() / "programs"
STAND_IN = pathlib.Path(__file__).resolve().parent.parent / "lib/openstack-stand-in"
SECONDS = 120
DISK = ["--image=disk.raw", "--allow-untrusted=disk"]
LAUNCH = ["--coco=sev-snp", "--cpu=EPYC-Milan", "--firmware=fw.fd", "--linux=kernel", "--initrd=initrd", *DISK]
WORDS = ["root=/dev/vda1"]
# What Nova has no place for.
REFUSED = ("--host-data", "--vcek", "--uuid", "--network", "--extra-drive", "--console-transport", "--coco-policy")


def fits(launch):
    options, words = launch
    return "--coco=sev-snp" in options and not any(o.startswith(REFUSED) for o in options) and (words or "--exact-words" not in options)


SNP = [([*options, *([] if any(o.startswith("--image=") for o in options) else DISK)], words) for options, words in filter(fits, LAUNCHES)]


class Cloud:
    def __init__(self, folder, tmp_path, cpu=None):
        self.folder, self.home = folder, tmp_path
        self.state = tmp_path / "state"
        self.state.mkdir()
        (tmp_path / "bin").mkdir()
        shutil.copy(STAND_IN, tmp_path / "bin/openstack")
        if cpu:
            (self.state / "cpu-model").write_text(cpu)
        self.env = {**os.environ, "STAND_IN": str(self.state), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "DISK": "10"}

    def run(self, *argv, **more):
        return subprocess.run(argv, cwd=self.home, env={**self.env, **more}, capture_output=True, text=True, timeout=SECONDS, check=False)

    def openstack(self, *argv):
        return ok(self.run("openstack", *argv))

    def show(self, kind):
        """The one of that kind, written to a file."""
        names = [line.split()[0] for line in self.openstack(kind, "list").splitlines()] if kind != "server" else ["disk"]
        shown = [json.loads(self.openstack(kind, "show", name, "-f", "json")) for name in names]
        main = [s for s in shown if "hw_firmware_type" in s["properties"]] if kind == "image" else shown
        (self.home / f"{kind}.json").write_text(json.dumps(main[0]))
        return main[0]

    def fetch(self):
        """Options with the image's kernel and initrd as Glance has them."""
        image, out = self.show("image"), []
        for key, option in (("kernel_id", "kernel"), ("ramdisk_id", "initrd")):
            if key in image["properties"]:
                self.openstack("image", "save", "--file", f"{self.home}/saved-{option}", image["properties"][key])
                out.append(f"--{option}={self.home}/saved-{option}")
        return out

    def measure(self, *options, files=("--flavor=flavor.json", "--server=server.json")):
        return self.run(PROGRAMS / "verb-measure", "--from-openstack=image.json", *files, f"--ovmf={self.folder}/fw.fd", *options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("openstack")
    export_launches.make_files(path)
    return path


def call(folder, verb, *args, stdin=None):
    return subprocess.run([PROGRAMS / f"verb-{verb}", *args], cwd=folder, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False)


def ok(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def cpu_of(options):
    return next((o.removeprefix("--cpu=") for o in options if o.startswith("--cpu=")), "EPYC-v4")


def deploy(folder, tmp_path, launch, *options):
    """The exported commands, run."""
    words, tail = launch
    script = ok(call(folder, "export", "openstack", f"--output={tmp_path / 'out'}", *options, *words, "--", *tail))
    cloud = Cloud(folder, tmp_path, cpu_of(words))
    (tmp_path / "script").write_text(script)
    ok(cloud.run("sh", "script"))
    for kind in ("image", "flavor", "server"):
        cloud.show(kind)
    return cloud


def by_json(folder, home, launch):
    """Image and flavor as openstack would show them, from the exported JSON."""
    told = json.loads(ok(call(folder, "export", "openstack", "--json", f"--output={home}/out", *launch[0], "--", *launch[1])))
    main = told["images"][-1]
    files = {i["role"]: i["file"] for i in told["images"]}
    image = {"id": "i", "name": main["name"], "properties": {**main["properties"], **main["references"]}}
    flavor = {"id": "f", **told["flavor"]}
    for name, value in (("image", image), ("flavor", flavor)):
        (home / f"{name}.json").write_text(json.dumps(value))
    return image, flavor, {role: files[role] for role in ("kernel", "initrd") if role in files}


@pytest.mark.parametrize("launches", [SNP[::20], pytest.param(SNP, marks=pytest.mark.full)], ids=["some", "all"])
def test_round_trip(folder, tmp_path, launches):
    """options -> export -> image and flavor -> measure = measure of the options, and so does the domain that Nova's rules give."""
    assert len(SNP) >= 40
    for i, launch in enumerate(launches):
        home, cpu = tmp_path / str(i), cpu_of(launch[0])
        home.mkdir()
        digest = ok(call(folder, "measure", *launch[0], "--", *launch[1])).strip()
        image, flavor, files = by_json(folder, home, launch)
        back = call(home, "measure", "--from-openstack=image.json", "--flavor=flavor.json", f"--ovmf={folder}/fw.fd", f"--vcpu-type={cpu}",
                    *(f"--{role}={path}" for role, path in files.items()))
        assert ok(back).strip() == digest, launch
        xml = nova_model.domain(image, flavor, cpu, folder / "fw.fd", *files.values())
        assert ok(call(folder, "measure", "--from-libvirt=-", stdin=xml)).strip() == digest, launch


@pytest.mark.parametrize("launch", SNP[::40])
def test_round_trip_of_commands(folder, tmp_path, launch):
    """The same by the exported commands and what the stand-in then shows and saves."""
    options, words = launch
    cloud = deploy(folder, tmp_path, ([*options, "--machine=disk"], words))
    assert ok(cloud.measure(*cloud.fetch())) == ok(call(folder, "measure", *options, "--", *words))


def test_commands(folder, tmp_path):
    """Three images, kernel and initrd before the one that refers to them; then flavor and server."""
    cloud = deploy(folder, tmp_path, ([*LAUNCH, "--cpus=3", "--ram=3G"], [*WORDS, "a'b $HOME"]))
    requests = [json.loads(line) for line in (cloud.state / "requests").read_text().splitlines()]
    assert [r[:3] for r in requests[:5]] == [["image", "create", "disk-kernel"], ["image", "create", "disk-initrd"], ["image", "create", "disk"],
                                             ["flavor", "create", "disk"], ["server", "create", "disk"]]
    image, flavor = cloud.show("image"), cloud.show("flavor")
    wanted = {"hw_firmware_type": "uefi", "hw_machine_type": "q35", "hw_mem_encryption": "true", "hw_mem_encryption_model": "amd-sev-snp",
              "hw_firmware_stateless": "true", "os_command_line": "console=ttyS0 root=/dev/vda1 a'b $HOME"}
    assert wanted.items() <= image["properties"].items()
    assert (flavor["vcpus"], flavor["ram"]) == (3, 3072)
    assert flavor["properties"] == {}
    for key, name in (("kernel_id", "kernel"), ("ramdisk_id", "initrd")):
        assert (cloud.state / f"data-{image['properties'][key]}").read_bytes() == (folder / name).read_bytes()
    assert requests[4][3:] == ["--image", image["id"], "--flavor", flavor["id"]]


def test_existing_flavor_and_arguments(folder, tmp_path):
    script = ok(call(folder, "export", "openstack", *LAUNCH, "--", *WORDS))
    cloud = Cloud(folder, tmp_path)
    (tmp_path / "script").write_text(script)
    done = cloud.run("sh", "script", DISK="")
    assert done.returncode != 0 and "set DISK" in done.stderr
    cloud.openstack("flavor", "create", "mine", "--vcpus", "1", "--ram", "2048", "--disk", "5")
    ok(cloud.run("sh", "script", "--network", "net", FLAVOR="mine"))
    last = json.loads((cloud.state / "requests").read_text().splitlines()[-1])
    assert last[-4:] == ["--flavor", "mine", "--network", "net"]


def test_json(folder):
    text = ok(call(folder, "export", "openstack", "--json", *LAUNCH, "--cpus=2", "--", *WORDS))
    told = json.loads(text)
    for image in told["images"]:
        data = pathlib.Path(image["file"]).read_bytes()
        shown = {"size": len(data), "properties": {"os_hash_algo": "sha512", "os_hash_value": hashlib.sha512(data).hexdigest()}}
        assert image.get("shown") == (shown if image["role"] != "disk" else None)
        assert image["role"] == "disk" or "properties" not in image
    assert [(i["role"], i["file"]) for i in told["images"]] == [("kernel", str(folder / "kernel")), ("initrd", str(folder / "initrd")),
                                                                ("disk", str(folder / "disk.raw"))]
    assert told["images"][2]["references"] == {"kernel_id": "kernel", "ramdisk_id": "initrd"}
    assert told["images"][2]["properties"]["os_command_line"] == "console=ttyS0 root=/dev/vda1"
    assert told["flavor"]["vcpus"] == 2 and told["compute-node"] == {"firmware": str(folder / "fw.fd"), "cpu-model": "EPYC-Milan"}


@pytest.mark.parametrize("change, message", [
    (["--coco=sev", "--cpu=EPYC"], "a separate kernel would not be measured with SEV"),
    (["--single-image"], "--linux cannot be exported with --single-image"),
    (["--host-data=" + "00" * 32], "--host-data cannot be exported to openstack"),
    (["--uuid=11111111-2222-3333-4444-555555555555"], "--uuid cannot be exported to openstack"),
    (["--extra-drive=disk.raw"], "--extra-drive cannot be exported to openstack"),
    (["--network-user-mode"], "--network-user-mode cannot be exported to openstack"),
    (["--coco-policy=0xb0000,debug"], "Nova requests the policy 0x30000 for SEV-SNP, not 0xb0000"),
    (["--console-transport=virtio"], "Nova's console is a serial port"),
    (["--image-disk-type=nvme"], "on virtio-blk or virtio-scsi"),
    (["--nova-version=33.0"], "SEV-SNP with stateless firmware needs Nova 34 or later"),
    (["--libvirt-version=11.3"], "--libvirt-version"),
    (["--exact-words"], "the kernel command line has 305 bytes"),
])
def test_refusals(folder, change, message):
    words = ["x" * 305] if change == ["--exact-words"] else WORDS
    done = call(folder, "export", "openstack", *LAUNCH, *change, "--", *words)
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr


def test_refused_without_disk_or_words(folder):
    done = call(folder, "export", "openstack", "--coco=sev-snp", "--firmware=fw.fd", "--linux=kernel", "--", "quiet")
    assert done.returncode == 1 and "pass it with --image=FILE" in done.stderr
    done = call(folder, "export", "openstack", *LAUNCH, "--exact-words")
    assert done.returncode == 1 and done.stdout == "" and "root=" in done.stderr


def test_host_cpu_is_said(folder):
    done = call(folder, "export", "openstack", *LAUNCH, "--cpu=host", "--", *WORDS)
    assert done.returncode == 0 and "ATTESTATION:vcpu_model" in done.stderr


# --- the way back --------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud(folder, tmp_path_factory):
    made = deploy(folder, tmp_path_factory.mktemp("cloud"), ([*LAUNCH, "--cpus=2"], WORDS))
    made.files = made.fetch()
    made.digest = ok(call(folder, "measure", *LAUNCH, "--cpus=2", "--", *WORDS)).strip()
    return made


def changed(cloud, tmp_path, kind, change):
    """The answer with changed members, as a file."""
    value = json.loads((cloud.home / f"{kind}.json").read_text())
    change(value)
    path = tmp_path / f"{kind}.json"
    path.write_text(json.dumps(value))
    return path


def measured(cloud, tmp_path, kind, change, *options):
    paths = {k: str(changed(cloud, tmp_path, k, change if k == kind else (lambda v: None))) for k in ("image", "flavor", "server")}
    return cloud.run(PROGRAMS / "verb-measure", f"--from-openstack={paths['image']}", f"--flavor={paths['flavor']}", f"--server={paths['server']}",
                     f"--ovmf={cloud.folder}/fw.fd", *cloud.files, *options)


def put(part, key, value):
    def change(answer):
        where = answer.setdefault(part, {}) if part else answer
        if value is None:
            where.pop(key, None)
        else:
            where[key] = value
    return change


@pytest.mark.parametrize("kind, change, message", [
    ("image", put("properties", "hw_new", "1"), "the image's property hw_new: unknown"),
    ("image", put("", "hw_new", "1"), "the image's member hw_new: unknown"),
    ("image", put("properties", "os_secure_boot", "required"), "changes which firmware"),
    ("image", put("properties", "hw_mem_encryption", "false"), "asks for encryption"),
    ("image", put("properties", "hw_firmware_type", "bios"), "hw_firmware_type must be uefi, and is bios"),
    ("image", put("properties", "hw_firmware_type", None), "hw_firmware_type must be uefi, and is missing"),
    ("image", put("properties", "hw_machine_type", "pc"), "must be q35, and is pc"),
    ("image", put("properties", "hw_firmware_stateless", None), "needs the image's property hw_firmware_stateless=true"),
    ("image", put("properties", "hw_mem_encryption", "maybe"), "neither true nor false"),
    ("image", put("properties", "kernel_id", None), "--kernel has no meaning here: the image has no property kernel_id"),
    ("image", put("properties", "kernel_id", "nokernel"), "--kernel has no meaning here: the image has no property kernel_id"),
    ("image", put("properties", "os_command_line", 5), "not a text"),
    ("image", put("", "properties", "a='b'"), "is not an object"),
    ("image", put("", "id", "other"), "the server was not started from this image"),
    ("flavor", put("properties", "hw:new", "1"), "the flavor's property hw:new: unknown"),
    ("flavor", put("properties", "hw:mem_encryption", "false"), "make them equal"),
    ("flavor", put("properties", "hw:mem_encryption_model", "amd-sev"), "make them equal"),
    ("flavor", put("properties", "os:secure_boot", "required"), "changes which firmware"),
    ("flavor", put("", "vcpus", 0), "vcpus is not a number"),
    ("flavor", put("", "ram", "2G"), "ram is not a size"),
    ("flavor", put("", "name", "other"), "the server does not have this flavor"),
    ("server", put("properties", "ATTESTATION:vcpu_model", "host"), "pass it with --vcpu-sig=NUMBER"),
    ("server", put("properties", "ATTESTATION:vcpu_model", "host-passthrough"), "pass it with --vcpu-sig=NUMBER"),
    ("server", put("properties", "ATTESTATION:vcpu_model", None), "--vcpu-type=MODEL"),
    ("server", put("properties", "ATTESTATION:vcpu_model", "Riesling"), "unknown CPU model"),
    ("server", put("properties", "ATTESTATION:firmware", "x"), "ATTESTATION:firmware: unknown"),
    ("server", put("", "OS-EXT-SRV-ATTR:kernel_id", "other"), "the server has kernel_id=other"),
    ("server", put("", "strange", 1), "the server's member strange: unknown"),
    ("server", put("flavor", "vcpus", 4), "the server has 4 vCPUs, the flavor 'disk' has 2"),
    ("server", put("flavor", "vcpus", "4"), "vcpus is not a number"),
    ("server", put("flavor", "strange", 1), "the flavor's member strange: unknown"),
    ("server", put("flavor", "extra_specs", {"hw:new": "1"}), "the flavor's property hw:new: unknown"),
    ("server", put("flavor", "extra_specs", {"hw:mem_encryption_model": "amd-sev"}), "the server's own flavor has hw:mem_encryption_model=amd-sev"),
    ("server", put("flavor", "extra_specs", "a='b'"), "is not an object"),
    ("server", put("", "image", {"name": "disk", "strange": 1}), "strange: unknown"),
    ("flavor", put("", "vcpus", 3), "the server has 2 vCPUs, the flavor 'disk' has 3"),
])
def test_what_is_refused(cloud, tmp_path, kind, change, message):
    done = measured(cloud, tmp_path, kind, change)
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr


@pytest.mark.parametrize("kind, change", [
    ("image", put("properties", "hw_rng_model", "virtio")),
    ("image", put("properties", "os_distro", "debian")),
    ("flavor", put("properties", "hw:mem_encryption_model", "amd-sev-snp")),
    ("image", put("properties", "hw_mem_encryption", "True")),
    ("flavor", put("properties", "hw:mem_encryption", "true")),
    ("flavor", put("properties", "hw:cpu_policy", "dedicated")),
    ("flavor", put("", "ram", 4096)),
    ("server", put("properties", "note", "mine")),
    ("server", put("", "image", "N/A (booted from volume)")),
    ("server", put("flavor", "ram", 4096)),
    ("server", put("flavor", "vcpus", None)),
])
def test_what_changes_nothing(cloud, tmp_path, kind, change):
    assert ok(measured(cloud, tmp_path, kind, change)).strip() == cloud.digest


@pytest.mark.parametrize("kind, change", [
    ("image", put("properties", "os_command_line", "other")),
    ("image", put("properties", "os_command_line", None)),
    ("server", put("properties", "ATTESTATION:vcpu_model", "EPYC-Genoa")),
])
def test_what_changes_the_digest(cloud, tmp_path, kind, change):
    assert ok(measured(cloud, tmp_path, kind, change)).strip() != cloud.digest


def test_vcpus_of_the_flavor(cloud, tmp_path):
    """Releases that show only the name of a server's flavor leave the number to the flavor's file."""
    for vcpus, same in ((2, True), (3, False)):
        flavor = changed(cloud, tmp_path, "flavor", put("", "vcpus", vcpus))
        server = changed(cloud, tmp_path, "server", put("", "flavor", "disk"))
        done = cloud.measure(*cloud.files, files=(f"--flavor={flavor}", f"--server={server}"))
        assert (ok(done).strip() == cloud.digest) == same


def test_forms(cloud, tmp_path):
    """Arguments in place of options; Glance's and Nova's own answers; a signature for a host's CPU; consent by name."""
    done = cloud.run(PROGRAMS / "verb-measure", "--from-openstack", "image.json", "flavor.json", "server.json", f"--ovmf={cloud.folder}/fw.fd",
                     *cloud.files)
    assert ok(done).strip() == cloud.digest
    image = json.loads((cloud.home / "image.json").read_text())
    flat = {k: v for k, v in image.items() if k != "properties"} | image["properties"]
    (tmp_path / "flat.json").write_text(json.dumps(flat))
    flavor = json.loads((cloud.home / "flavor.json").read_text())
    flavor["extra_specs"] = flavor.pop("properties")
    (tmp_path / "specs.json").write_text(json.dumps(flavor))
    done = cloud.run(PROGRAMS / "verb-measure", f"--from-openstack={tmp_path}/flat.json", f"--flavor={tmp_path}/specs.json", "--server=server.json",
                     f"--ovmf={cloud.folder}/fw.fd", *cloud.files)
    assert ok(done).strip() == cloud.digest
    assert ok(measured(cloud, tmp_path, "server", put("properties", "ATTESTATION:vcpu_model", "host"), "--vcpu-sig=0xa00f11")).strip() == cloud.digest
    assert ok(measured(cloud, tmp_path, "image", put("properties", "hw_new", "1"), "--assume-unmeasured=hw_new")).strip() == cloud.digest
    done = cloud.measure(files=("--flavor=flavor.json",))
    assert done.returncode == 1 and "--vcpu-type=MODEL" in done.stderr
    done = cloud.measure()
    assert done.returncode == 1 and "openstack image save --file FILE" in done.stderr
    done = cloud.run(PROGRAMS / "verb-measure", "--from-openstack=image.json", "--flavor=flavor.json", "--server=server.json", *cloud.files)
    assert done.returncode == 1 and "pass the file of that node" in done.stderr
    done = cloud.measure(files=())
    assert done.returncode == 1 and "--flavor=FILE" in done.stderr


def test_single_image(folder, tmp_path):
    """Without kernel_id the digest is that of the firmware and the vCPUs."""
    for model, mode in (("amd-sev", "sev"), ("amd-sev-es", "seves"), ("amd-sev-snp", "snp")):
        image = {"id": "i", "name": "n", "properties": {"hw_firmware_type": "uefi", "hw_machine_type": "q35", "hw_mem_encryption": "true",
                                                        "hw_mem_encryption_model": model, "hw_firmware_stateless": "true"}}
        (tmp_path / "image.json").write_text(json.dumps(image))
        (tmp_path / "flavor.json").write_text(json.dumps({"vcpus": 2, "ram": 1024, "properties": {}}))
        cpu = [] if mode == "sev" else ["--vcpu-type=EPYC-Rome"]
        done = call(tmp_path, "measure", "--from-openstack=image.json", "--flavor=flavor.json", f"--ovmf={folder}/fw.fd", *cpu)
        old = ["--vmsa=qemu-pre-6.10"] if mode == "seves" else []
        assert ok(done) == ok(call(tmp_path, "measure", f"--mode={mode}", "--vcpus=2", f"--ovmf={folder}/fw.fd", *cpu, *old))
        assert "NOT MEASURED: the kernel in the image" in done.stderr


def test_single_image_of_a_disk(folder, tmp_path):
    """The second way of uploading an image: nothing is taken out of it, and the digest covers the firmware."""
    made = disk_image.disk(tmp_path / "cloud.raw", [disk_image.Part("root", "ext4", disk_image.debian(), 24)])
    options = ["--coco=sev-snp", "--cpu=EPYC-Milan", f"--firmware={folder}/fw.fd", f"--image={made}", "--allow-untrusted=disk"]
    done = call(tmp_path, "export", "openstack", "--json", "--single-image", *options)
    told = json.loads(ok(done))
    assert "taken from" not in done.stderr and "covers the firmware, not the kernel" in done.stderr
    assert ok(call(tmp_path, "export", "openstack", "--json", "--single-image", "--linux=from-image", *options)) == done.stdout
    for more, what in ((["--set-credential=a:b"], "--set-credential"), (["--load-credential", "a:/etc/passwd"], "--load-credential"),
                       (["--initrd=x"], "--initrd"), (["--exact-words"], "--exact-words"), (["--linux", "x"], "--linux"),
                       (["--credential-transport=initrd"], "--credential-transport"), (["--", "root=/dev/sdz"], "the kernel argument 'root=/dev/sdz'")):
        done = call(tmp_path, "export", "openstack", "--single-image", *options, *more)
        assert done.returncode == 1 and done.stdout == "" and f"{what} cannot be exported with --single-image" in done.stderr, done.stderr
    assert [i["role"] for i in told["images"]] == ["disk"] and told["images"][0]["references"] == {}
    assert "os_command_line" not in told["images"][0]["properties"]
    (tmp_path / "empty").write_bytes(bytes(1 << 20))
    for more, message in (([o for o in options if "image" not in o], "--single-image needs the image"),
                          ([*options, "--image=empty"], "--single-image: no kernel was found in 'empty'")):
        done = call(tmp_path, "export", "openstack", "--single-image", *more)
        assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr
    split = json.loads(ok(call(tmp_path, "export", "openstack", "--json", "--output=out", *options)))
    assert [i["role"] for i in split["images"]] == ["kernel", "initrd", "disk"]
    assert pathlib.Path(split["images"][0]["file"]).read_bytes() == disk_image.kernel()
    assert "root=" in split["images"][2]["properties"]["os_command_line"]
