# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every option that names a file, of every program, with everything that a file can be instead: the list of options comes from the programs'
own tables (--dump-options), so that a new one is tried without being named here. An error message has to say what happened to which file:
its path or the option; a bare "Input/output error" says nothing. Nothing crashes, waits for ever or fails without a word."""

import concurrent.futures
import hashlib
import itertools
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess

import container_image
import disk_image
import initrd_forms as forms
import pytest
import td_chain
from sevsim_host import build_folder
from snp_world import amd  # noqa: F401
from test_coco_uki import bzimage
from test_coco_uki import image as uki_image
from test_measure_rtmr import Boot

SECONDS = 120
DIGEST, DIGEST32 = "aa" * 48, "bb" * 32
TDX_POLICY = [f"--measurement={DIGEST}", "--report-data=" + "bb" * 64, *(f"--expect=rtmr{i}:any" for i in range(3))]
CAPS = ('{"simulation": true, "kvm": true, "kvm-reason": null, "sev": true, "sev-es": true, "sev-snp": true, "cbitpos": 51, '
        '"reduced-phys-bits": 1, "qemu": null, "swtpm": null}\n')
BARE = {os.strerror(number) for number in range(1, 134)}
FILE = re.compile(r"FILE|DIR|PATH|SOCKET|KEY$")
ACCEPTED = {0, 3, 4, 5, 6, 124, 125, 126, 127}  # besides 1 and 2: what the manuals say of a refusal

# Program, subcommand, arguments with which it reaches its files. A {name} is one of world()'s.
KATA_WORDS = ("tsc=reliable no_timer_check rcupdate.rcu_expedited=1 i8042.direct=1 i8042.dumbkbd=1 i8042.nopnp=1 i8042.noaux=1 noreplace-smp reboot=k "
              "cryptomgr.notests net.ifnames=0 pci=lastbus=0 console=hvc0 console=hvc1 quiet systemd.show_status=false panic=1 selinux=0 "
              "scsi_mod.scan=none agent.launch_process_timeout=6")
BASES = [
    ("verb-report", "show", ["{amd}/report.bin"]),
    ("verb-report", "verify", ["{amd}/report.bin", "--offline", "--cache=", "--leaf={amd}/vcek.der", "--ca={amd}/chain.pem",
                               "--insecure-root={amd}/ark.der", f"--measurement={DIGEST}", "--report-data=" + "bb" * 64]),
    ("verb-report", "verify", ["{amd}/report.bin", "--offline", "--cache=", "--leaf={amd}/vcek.der", "--ca={amd}/chain.pem", "--insecure-root={amd}/ark.der", "--format=ear", "--sign-key={key}", f"--measurement={DIGEST}",
                               "--report-data=" + "bb" * 64]),
    ("verb-report", "verify", ["{world}/quote", "--offline", "--collateral={world}/tcb.json", "--insecure-root={world}/root.pem", *TDX_POLICY]),
    ("verb-measure", "", ["--mode=snp", "--ovmf={firmware}", "--vcpus=1", "--vcpu-type=EPYC-v4", "--kernel={kernel}", "--initrd={initrd}"]),
    ("verb-measure", "", ["--mode=sev", "--ovmf={firmware}", "--kernel={kernel}", "--initrd={initrd}"]),
    ("verb-measure", "", ["--from-qemu={line}"]),
    ("verb-measure", "", ["--from-incus={world}/incus.json", "--ovmf={firmware}"]),
    ("verb-measure", "", ["--from-kata={world}/kata.toml", "--initdata={world}/initdata.toml"]),
    ("verb-measure", "", ["--from-kubevirt={world}/instance.json", "--ovmf={firmware}", "--kernel={kernel}", "--initrd={initrd}"]),
    ("verb-measure", "", ["--from-openstack={world}/image.json", "--flavor={world}/flavor.json", "--server={world}/server.json", "--ovmf={firmware}",
                         "--kernel={kernel}", "--initrd={initrd}", "--glance={world}/glance.json"]),
    ("verb-measure", "", ["--batch={batch}", "--vcpus=1", "--vcpu-type=EPYC-v4", "--ovmf={firmware}", "--kernel={kernel}"]),
    ("verb-measure", "", ["--mode=tdx", "--ovmf={td}/tdvf.fd", "--memory=512M", "--edk2=202608-inteltdx", "--fw-cfg={td}/fw_cfg", "--kernel={td}/kernel",
                         "--bios=a,b,c"]),
    ("verb-measure", "", ["--igvm={text}"]),
    ("verb-measure", "", ["--coco=sev-snp", "--firmware={firmware}"]),
    ("verb-inspect", "firmware", ["{firmware}"]), ("verb-inspect", "kernel", ["{kernel}"]), ("verb-inspect", "uki", ["{uki}"]), ("verb-inspect", "initrd", ["{initrd}"]),
    ("verb-inspect", "cpio", ["{cpio}"]), ("verb-explain", "", ["{text}"]),
    ("verb-id-block", "build", [DIGEST, "--id-key={key}", "--author-key={key}"]),
    ("verb-id-block", "prepare", [DIGEST, "--id-public={public}", "--id-block={out}/b", "--key-file={out}/k"]),
    ("verb-id-block", "show", ["--id-block={world}/block", "--id-auth={world}/auth"]),
    ("verb-id-block", "verify", ["--id-block={world}/block", "--id-auth={world}/auth"]),
    ("verb-id-block", "assemble", ["--id-block={world}/block", "--id-public={public}", "--id-signature={world}/signature", "--id-auth={out}/a"]),
    ("verb-id-block", "key-digest", ["{key}"]),
    ("verb-snpguest", "display report", ["{amd}/report.bin"]), ("verb-snpguest", "display key", ["{world}/tik"]),
    ("verb-snpguest", "verify certs", ["{amd}", "--insecure-root={amd}/ark.der"]),
    ("verb-snpguest", "verify attestation", ["{amd}", "{amd}/report.bin", "--insecure-root={amd}/ark.der"]),
    ("verb-snpguest", "generate measurement", ["--ovmf={firmware}", "--vcpu-type=EPYC-v4", "--kernel={kernel}"]),
    ("verb-snpguest", "generate ovmf-hash", ["--ovmf={firmware}"]),
    ("verb-snpguest", "generate id-block", ["{key}", "{key}", "0x" + DIGEST]),
    ("verb-snpguest", "generate key-digest", ["{key}"]),
    ("verb-snpguest", "fetch ca", ["pem", "{out}/c", "--report={amd}/report.bin", "--kds=http://127.0.0.1:1", "--cache={out}/cache"]),
    ("verb-snpguest", "fetch vcek", ["pem", "{out}/c", "{amd}/report.bin", "--kds=http://127.0.0.1:1", "--cache={out}/cache"]),
    ("verb-secret", "build", ["{out}/header", "{out}/payload", "--tik={world}/tik", "--tek={world}/tek", "--measurement=" + "A" * 64,
                              "--inject-secret=luks-key:{text}"]),
    ("verb-secret", "open", ["{world}/header", "{world}/payload", "--tik={world}/tik", "--tek={world}/tek", "--measurement=" + "A" * 64]),
    ("verb-session", "", ["{chain}", "--certs={askark}", "--insecure-root={platform}/ark.cert", "--cache=", "--output={out}"]),
    ("verb-cert-chain", "show", ["{chain}"]),
    ("verb-cert-chain", "verify", ["{chain}", "--certs={askark}", "--insecure-root={platform}/ark.cert", "--cache="]),
    ("verb-cert-chain", "split", ["{chain}", "--output={out}"]),
    ("verb-owner", "list", ["--service=https://127.0.0.1:1", "--token-file={text}"]),
    *(("verb-owner", verb, ["web", "{json}", "--service=https://127.0.0.1:1", "--token-file={text}"])
      for verb in ("register", "import", "update")),
    ("verb-owner", "upload", ["{text}", "--service=https://127.0.0.1:1", "--token-file={text}"]),
    *(("verb-owner", verb, ["web", "{text}", "--service=https://127.0.0.1:1"]) for verb in ("launch", "validate")),
    ("verb-relay", "", ["--attestation-service=https://127.0.0.1:1/vm/web", "--connect={world}/none"]),
    ("verb-attest-qemu", "", ["--qmp={world}/none", "--owner-dir={world}", f"--expect={DIGEST32}"]),
    ("verb-attest-qemu", "prepare", ["--qemu={qemu}", "--session-dir={out}", "--attestation-service=https://127.0.0.1:1/vm/web"]),
    ("verb-check-host", "", ["--qemu={qemu}", "--firmware={firmware}"]),
    ("verb-run-matrix", "", ["--print", "{matrix}"]),
    ("verb-sevsim", "", ["--record={out}/record", "--platform={out}/platform", "--", "true"]),
    ("verb-validate", "", ["--measurement=" + "A" * 64, "--api-major=1", "--api-minor=40", "--build-id=9", "--policy=3", "--tik={world}/tik",
                           "--tek={world}/tek", "--firmware={firmware}", "--kernel={kernel}", "--initrd={initrd}"]),
    ("verb-spawn", "", ["--print=argv", "--qemu={qemu}", "--firmware={firmware}", "--linux={kernel}", "--initrd={cpio}", "--coco=sev-snp",
                        "--host-caps={caps}"]),
    ("verb-spawn", "", ["--print=digest", "--qemu={qemu}", "--firmware={firmware}", "--linux={kernel}", "--coco=sev-snp", "--host-caps={caps}"]),
    ("verb-spawn", "", ["--print=argv", "--qemu={qemu}", "--kvm=no", "--linux={kernel}", "--initrd={cpio}"]),
    ("verb-spawn", "", ["--print=argv", "--qemu={qemu}", "--firmware={firmware}", "--linux={kernel}", "--coco=sev", "--host-caps={caps}"]),
    ("verb-extract", "", ["{image}", "--output={out}/x"]),
    ("verb-extract", "", ["--oci={container}", "--path=/f", "--output={out}/x"]), ("verb-inspect", "image", ["{image}"]),
    ("verb-export", "libvirt", ["--output={out}/x", "--qemu={qemu}", "--coco=sev-snp", "--firmware={firmware}", "--linux={kernel}",
                                "--initrd={cpio}", "--set-credential=a:b"]),
    ("verb-export", "qemu", ["--output={out}/x", "--qemu={qemu}", "--coco=sev-snp", "--firmware={firmware}", "--linux={kernel}",
                             "--initrd={cpio}", "--set-credential=a:b"]),
    ("verb-export", "kata", ["--qemu={qemu}", "--coco=sev-snp", "--firmware={firmware}", "--linux={kernel}", "--initrd={cpio}", "--exact-words",
                             "--initdata={world}/initdata.toml", "--", KATA_WORDS]),
    ("verb-refs", "build", ["--output={out}/b", "--id-key={key}", "--author-key={key}", "--passphrase-file={text}", "--", "--mode=snp", "--ovmf={firmware}", "--vcpus=1", "--vcpu-type=EPYC-v4"]),
    ("verb-refs", "sign", ["{bundle}", "--key={key}", "--output={out}/b"]),
    ("verb-refs", "sign", ["{bundle}", "--signature={world}/detached", "--public-key={public}", "--output={out}/b"]),
    ("verb-refs", "learn", ["{signed}", "{amd}/report.bin", "--good", "--signer={public}", "--output={out}/b", "--", "--certs={amd}", "--offline", "--cache=",
                            "--insecure-root={amd}/ark.der"]),
    ("verb-refs", "diff", ["{signed}", "{signed}", "--signer={public}"]),
    ("verb-forecast", "", ["--against={bundle}", "--kernel=6.12", "--firmware={firmware}"]),
    ("verb-refs", "verify", ["{signed}", "--signer={public}", "--state={out}/state"]),
    ("verb-refs", "show", ["{signed}", "--signer={public}"]), ("verb-refs", "export", ["{signed}", "--format=csv", "--signer={public}", "--output={out}/e"]),
    ("cvmspawn-attestd", "", ["--state={out}/state", "--answer=GET /"]),
    ("cvmspawn-attestd", "", ["--state={out}/state", "--add-owner=alice", "--token-file={out}/token"]),
    ("cvmspawn-collateral", "serve", ["--cache={out}/c", "--listen=127.0.0.1:1/", "--insecure-root={amd}/ark.der", "--prefetch={world}/none"]),
    ("cvmspawn-collateral", "list", ["--cache={world}/kds", "--insecure-root={amd}/ark.der"]),
    ("cvmspawn-collateral", "export", ["{out}/b", "--cache={world}/kds", "--insecure-root={amd}/ark.der"]),
    ("cvmspawn-collateral", "import", ["{json}", "--cache={out}/c", "--insecure-root={amd}/ark.der"]),
    ("cvmspawn-tunnel", "serve", ["--listen=127.0.0.1:1/", "--name=a", "--tunnels={text}", "--tls-cert={public}", "--tls-key={key}"]),
    ("cvmspawn-tunnel", "add", ["alice", "--tunnels={out}/tunnels", "--token-file={out}/token"]),
    ("cvmspawn-tunnel", "connect", ["--to=127.0.0.1:1", "--via=https://127.0.0.1/a", "--via-token-file={token}", "--via-ca={public}"]),
    ("cvmspawn-guest", "ok", []), ("cvmspawn-guest", "report", ["--report-data=" + "aa" * 64]), ("cvmspawn-guest", "derived-key", []),
    *(("cvmspawn-guest", f"secret {verb}", ["736869e5-84f0-4973-92ec-06879ce3da0b"][:verb != "list"]) for verb in ("list", "get", "wipe")),
    ("cvmspawn-guest", "snpguest report", ["{out}/r", "{text}"]), ("cvmspawn-guest", "snpguest key", ["{out}/k", "vcek"]),
    ("cvmspawn-guest", "snpguest certificates", ["pem", "{out}/c"]),
    ("cvmspawn-guest-attest", "", ["--service-key={public}"]),
]

KATA = "[hypervisor.qemu]\nkernel = '{kernel}'\ninitrd = '{initrd}'\nfirmware = '{firmware}'\nconfidential_guest = true\nsev_snp_guest = true\n"
NOVA = {"image": {"properties": {"hw_firmware_type": "uefi", "hw_mem_encryption": "true", "hw_mem_encryption_model": "amd-sev-snp",
                                 "hw_firmware_stateless": "true", "kernel_id": "k", "ramdisk_id": "r", "os_command_line": "quiet"}},
        "incus": {"type": "virtual-machine", "expanded_config": {"security.sev": "true"}},
        "instance": {"kind": "VirtualMachineInstance", "spec": {"domain": {
            "cpu": {"cores": 1, "model": "EPYC-v4"}, "memory": {"guest": "2Gi"}, "launchSecurity": {"snp": {"kernelHashes": True}},
            "firmware": {"bootloader": {"efi": {"secureBoot": False}}, "kernelBoot": {"container": {"kernelPath": "/k", "initrdPath": "/i"}}}}}},
        "flavor": {"vcpus": 1, "ram": 2048, "properties": {}}, "server": {"properties": {"ATTESTATION:vcpu_model": "EPYC-v4"}}}

# Options whose file is not looked at where the tests run, and why. Their messages are still held against BARE.
UNREACHED = {
    "cvmspawn-guest": "needs an SNP guest", "cvmspawn-guest-attest": "needs an SNP guest", "verb-check-host": "its findings are its output", "verb-explain": "its findings are its output", "verb-validate": "the messages are virt-qemu-sev-validate's",
    "verb-sevsim": "runs a command", "verb-attest-qemu": "needs a monitor", "verb-relay": "needs a guest",
}
NEVER_READ = {"--cache", "--kds-cache", "--cek-store", "--directory", "--qemu", "--forward-journal", "--console-log", "--bind-user-shell", "--tpm-state",
              "--efi-nvram-state", "--efi-nvram-template", "--prefix", "--ca", "--attestation-ca", "--bind", "--bind-ro", "--tls-key", "--tls-cert", "--state"}

# The others make no difference to most programs: ./check --full tries them, too.
ALWAYS = ("directory", "empty", "text", "missing", "/proc/self/mem")


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def world(tmp_path_factory, amd, platform, artifacts):  # noqa: F811
    folder = tmp_path_factory.mktemp("world")
    names = {"amd": amd, "platform": platform, "world": folder, "out": folder / "out", "firmware": artifacts["FIRMWARE"],
             "kernel": artifacts["KERNEL"], "initrd": artifacts["INITRD"], "qemu": artifacts["QEMU"],
             "caps": folder / "caps"}
    for name in ("key", "public", "text", "line", "batch", "cpio", "chain", "askark", "json", "image", "container", "bundle", "signed", "td", "matrix", "token", "uki"):
        names[name] = folder / name
    (folder / "out").mkdir()
    (folder / "kds").mkdir()
    shutil.copy(amd / "chain.pem", folder / "kds/milan-vcek-chain.pem")
    openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", names["key"])
    openssl("ec", "-in", names["key"], "-pubout", "-out", names["public"])
    for name, size in (("tik", 16), ("tek", 16)):
        (folder / name).write_bytes(bytes(range(1, size + 1)))
    names["text"].write_text("hello\n")
    names["uki"].write_bytes(uki_image((".linux", bzimage())))
    names["token"].write_text("ab" * 32 + "\n")
    names["token"].chmod(0o600)
    names["cpio"].write_bytes(forms.guest())
    names["caps"].write_text(CAPS)
    names["batch"].write_text('{"mode": "snp"}\n')
    names["json"].write_text("{}\n")
    names["matrix"].write_text('{"guests": [{"name": "a", "options": {"linux": "k"}}]}')
    (folder / "kata.toml").write_text(KATA.format(**names))
    (folder / "initdata.toml").write_text('version = "0.1.0"\nalgorithm = "sha256"\n[data]\n')
    stored = {"id": "k", "os_hash_algo": "sha512", "os_hash_value": hashlib.sha512(names["kernel"].read_bytes()).hexdigest()}
    for name, value in (NOVA | {"glance": stored}).items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    subprocess.run([build_folder() / "programs/verb-secret", "build", folder / "header", folder / "payload", f"--tik={folder}/tik",
                    f"--tek={folder}/tek", "--measurement=" + "A" * 64, f"--inject-secret=luks-key:{names['text']}"], check=True, capture_output=True,
                   timeout=60)
    names["line"].write_text(f"{names['qemu']} -M q35,confidential-guest-support=s -accel kvm -bios {names['firmware']} -cpu EPYC-v4 "
                             f"-object sev-snp-guest,id=s,cbitpos=51,reduced-phys-bits=1,kernel-hashes=on -kernel {names['kernel']}\n")
    names["chain"].write_bytes(b"".join((platform / f"{c}.cert").read_bytes() for c in ("pdh", "pek", "oca", "cek-signed")))
    refs = build_folder() / "programs/verb-refs"
    subprocess.run([refs, "build", f"--output={names['bundle']}", "--", "--mode=snp", f"--ovmf={names['firmware']}", "--vcpus=1", "--vcpu-type=EPYC-v4"],
                   check=True, timeout=60)
    subprocess.run([refs, "sign", names["bundle"], f"--key={names['key']}", f"--output={names['signed']}"], check=True, timeout=60)
    subprocess.run([refs, "sign", "--detached", names["bundle"], f"--output={folder}/to-sign"], check=True, timeout=60)
    openssl("dgst", "-sha384", "-sign", names["key"], "-out", folder / "detached", folder / "to-sign")
    disk_image.disk(names["image"], [disk_image.Part("root", "ext4", disk_image.debian(), 24)])
    container_image.docker(names["container"], [(["x:1"], [container_image.layer({"f": b"file" * 5000})])])
    for name, data in td_chain.World().files().items():
        (folder / name).write_bytes(data)
    names["td"].mkdir()
    Boot(names["td"])
    names["askark"].write_bytes(b"".join((platform / f"{c}.cert").read_bytes() for c in ("ask", "ark")))
    subprocess.run([build_folder() / "programs/verb-id-block", "build", DIGEST, f"--id-key={names['key']}", f"--id-block={folder}/block",
                    f"--id-auth={folder}/auth"], check=True, capture_output=True, timeout=60)
    openssl("dgst", "-sha384", "-sign", names["key"], "-out", folder / "signature", folder / "block")
    return names


def make_directory(path):
    path.mkdir()
    (path / "x").write_text("x")


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))  # nobody listens any more


# What may stand where a file is expected: how it is made, or a path that is there.
WRONG = {"directory": make_directory, "empty": lambda path: path.write_bytes(b""), "text": lambda path: path.write_text("hello\n"),
         "loop": lambda path: path.symlink_to(path), "socket": make_socket, "missing": lambda path: None, "/proc/self/mem": None, "/dev/full": None,
         "/" + "a" * 300: None, "/dev/null/x": None, "": None}


def dumped(program, what):
    done = subprocess.run([build_folder() / "programs" / program, f"--dump-options={what}"], check=True, capture_output=True, text=True, timeout=30)
    return [line.split("\t") for line in done.stdout.splitlines()]


def file_options(program, command):
    lists = {row[0]: row[1:] for row in dumped(program, "commands")}
    return [(row[1], row[2]) for row in dumped(program, "list") if row[0] == "option" and FILE.search(row[2]) and
            (row[1] in lists[command] if command in lists else not lists or program == "cvmspawn-guest")]


def trials(program, command, forms, world, folder):
    """(option or number of the argument, value, argv), each with files for itself: some are written to, two run at a time."""
    head = [str(build_folder() / "programs" / program), *command.split()]
    words = [form.format(**world) for form in forms]
    number, outputs = 0, itertools.count()

    def own_output():
        out = folder / f"out-{next(outputs)}"
        out.mkdir()
        return [form.format(**{**world, "out": out}) for form in forms]

    def made(name):
        nonlocal number
        if WRONG[name] is None:
            return name
        number += 1
        (folder / str(number)).mkdir()
        WRONG[name](folder / str(number) / name)
        return str(folder / str(number) / name)

    places = [*file_options(program, command), *((n, None) for n, word in enumerate(words) if "/" in word and not word.startswith("-"))]
    for place, meta in places:
        for name in WRONG if os.environ.get("CVMSPAWN_FULL") == "1" else ALWAYS:
            bad = made(name)
            words = own_output()
            if meta is None:
                yield f"argument {place + 1}", bad, [*head, *words[:place], bad, *words[place + 1:]]
                continue
            value = "luks-key:" + bad if meta.startswith(("ALIAS", "NAME:", "ID:")) else bad
            yield place, bad, [*head, f"{place}={value}", *(w for w in words if not w.startswith(place + "="))]


def judge(program, option, bad, argv, folder):
    """What is wrong with how the program took it; None if nothing is."""
    shown = f"{option} is {bad}"
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, cwd=folder, check=False)
    except subprocess.TimeoutExpired:
        return f"{shown}: waits for ever"
    said = done.stderr.decode(errors="replace")
    everything = said + done.stdout.decode(errors="replace")
    if done.returncode < 0:
        return f"{shown}: {signal.Signals(-done.returncode).name}"
    for line in said.splitlines():
        if re.sub(r"^([\w -]+: )+", "", line) in BARE and not re.search("'|--|/", line):
            return f"{shown}: bare: {line}"
    if done.returncode == 0:
        return None
    if not everything.strip():
        return f"{shown}: status {done.returncode} without a word"
    if done.returncode not in ACCEPTED | {1, 2}:
        return f"{shown}: status {done.returncode}"
    if program in UNREACHED or option in NEVER_READ or not bad or "127.0.0.1:1/" in said:  # the service comes first
        return None
    if option == "--tunnels" and bad.endswith("/empty"):  # a relay that nobody uses yet
        return None
    real = os.path.basename(bad) if bad.startswith("/proc/self") else bad
    if real not in everything and option not in everything:
        return f"{shown}: names neither file nor option: {said.strip().splitlines()[-1:]}"
    return None


@pytest.mark.parametrize("n", range(len(BASES)), ids=[f"{p.removeprefix('verb-')} {c}".strip() for p, c, _ in BASES])
def test_wrong_files(n, world, tmp_path):
    program, command, words = BASES[n]
    work = list(trials(program, command, words, world, tmp_path))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = [f for f in pool.map(lambda t: judge(program, *t, tmp_path), work) if f]
    assert not found, f"{len(found)} of {len(work)}, with {' '.join([program, command, *words])}:\n" + "\n".join(found)


def test_table_is_whole():
    """Each program that has an option for a file is in the table with each of its subcommands, or not runnable here."""
    programs = sorted(p.name for p in (build_folder() / "programs").iterdir()
                      if p.is_file() and os.access(p, os.X_OK) and p.name.startswith(("verb-", "cvmspawn-")))
    missing = []
    for program in programs:
        if program in ("verb-attest-domain", "verb-owner-agent"):  # need libvirt, and a launcher that speaks to it
            continue
        tried = {(c, o) for p, c, _ in BASES if p == program for o, _ in file_options(program, c)}
        missing += [f"{program}: {row[1]}" for row in dumped(program, "list")
                    if row[0] == "option" and FILE.search(row[2]) and row[1] not in {o for _, o in tried}]
    assert not missing, missing


def test_full_disk(world, tmp_path):
    """Output that cannot be written is a failure that says so, in every program that prints something."""
    found = []
    for number, (program, command, words) in enumerate(BASES):
        # Files that a run leaves would be in the way of the next: each begins with an empty folder.
        fresh = {**world, "out": tmp_path / f"out-{number}"}
        argv = [build_folder() / "programs" / program, *command.split(), *(w.format(**fresh) for w in words)]
        fresh["out"].mkdir()
        good = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, cwd=tmp_path, check=False)
        if good.returncode != 0 or not good.stdout:
            continue
        shutil.rmtree(fresh["out"])
        fresh["out"].mkdir()
        with open("/dev/full", "wb") as full:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=SECONDS, cwd=tmp_path, check=False)
        if done.returncode == 0 or b"standard output" not in done.stderr:
            found.append(f"{program} {command}: {done.returncode} {done.stderr.decode(errors='replace')[-200:]}")
    assert not found, found


def test_limit_of_file_sizes(tmp_path):
    """No program is killed by SIGXFSZ: each says that its help is incomplete."""
    found = []
    for program in sorted((build_folder() / "programs").iterdir()):
        if not program.is_file() or not os.access(program, os.X_OK) or not program.name.startswith(("verb-", "cvmspawn")) or "adapter" in program.name:
            continue
        for words in (["--help"], ["help"]) if program.name == "cvmspawn" else (["--help"],):
            with open(tmp_path / "out", "wb") as out:
                done = subprocess.run([program, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, timeout=SECONDS, check=False,
                                      preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)))
            if done.returncode in (-signal.SIGXFSZ, 0) or b"cannot write to standard output: " not in done.stderr:
                found.append(f"{program.name} {words}: {done.returncode} {done.stderr.decode(errors='replace')[-200:]}")
    assert not found, found


def test_pipe_without_writer(world, tmp_path):
    """A named pipe that nobody writes to ends, with its name, after the time that the manual says."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    measured = ["verb-measure", "--mode=snp", "--vcpus=1", "--vcpu-type=EPYC-v4"]
    argvs = (["verb-report", "show", fifo], ["verb-id-block", "key-digest", fifo], ["verb-measure", f"--batch={fifo}"], [*measured, f"--ovmf={fifo}"],
             [*measured, f"--ovmf={world['firmware']}", f"--kernel={fifo}"], ["verb-explain", fifo])  # fmt: skip

    def attempt(argv):
        done = subprocess.run([build_folder() / "programs" / argv[0], *map(str, argv[1:])], capture_output=True, text=True, timeout=SECONDS, check=False)
        return None if done.returncode == 1 and str(fifo) in done.stderr and ("named pipe" in done.stderr or "timed out" in done.stderr) else done.stderr

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert not [problem for problem in pool.map(attempt, argvs) if problem]
    shutil.rmtree(tmp_path, ignore_errors=True)
