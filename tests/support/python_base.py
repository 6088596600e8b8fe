"""A base image with the Python that runs the tests, a shell and Debian's marks: what a hub would give, made on this machine.

Made once for each Python, kept in the temporary folder: a layer of some 20 MB takes seconds.
"""

import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasks import oci
from tasks.ports import ArtifactStore
from tests.support import engines
from tests.support.images import debian

LEFT_OUT: Final = {
    *("site-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3"),
    *("pydoc_data", "distutils"),
}
APPLETS: Final = (
    "sh",
    "cat",
    "cp",
    "echo",
    "ls",
    "mkdir",
    "mv",
    "rm",
    "sleep",
    "touch",
    "id",
    "ln",
)
MANYLINUX: Final = {
    *("libgcc_s.so.1", "libstdc++.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libc.so.6"),
    *("libpthread.so.0", "libresolv.so.2", "libutil.so.1", "libnss_dns.so.2", "libnss_files.so.2"),
}
"""Libraries of the system that wheels with compiled modules may expect (PEP 600), and those that resolve names."""
ENVIRONMENT: Final = ("PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8")
TAG: Final = "python"


@dataclass(frozen=True)
class _Layer:
    path: Path
    diff_id: str


def python_base(store: ArtifactStore) -> str:
    """Put it there; its digest, the same each time on one machine. Its reference is `f"{store.repository}@{digest}"`."""
    layer = _layer()
    stored = store.put_blob(layer.path)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Env": list(ENVIRONMENT), "Cmd": ["python3"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "a test"}],
    }
    configured = store.put_blob(oci.canonical(config))
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {"mediaType": oci.CONFIG, "digest": configured.digest, "size": configured.size},
        "layers": [{"mediaType": oci.LAYER, "digest": stored.digest, "size": stored.size}],
    }
    return store.put_manifest(oci.canonical(manifest), TAG)


def _layer() -> _Layer:
    """Moved into place whole: two test runs may make it at the same time."""
    about = hashlib.sha256(f"{sys.version} {Path(__file__).read_text()}".encode()).hexdigest()[:12]
    kept = Path(tempfile.gettempdir()) / f"bakewell-python-base-{os.getuid()}-{about}"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=kept.parent) as work:
            packed = Path(work) / "packed"
            packed.mkdir()
            diff_id = _pack(packed / "layer")
            (packed / "diff-id").write_text(diff_id)
            try:
                packed.rename(kept)
            except OSError:  # somebody else was quicker
                assert kept.exists()
    return _Layer(kept / "layer", (kept / "diff-id").read_text())


def _pack(path: Path) -> str:
    plain = hashlib.sha256()
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", 1, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for member, content in sorted(_members(), key=lambda one: one[0].name):
            archive.addfile(member, io.BytesIO(content))
    with gzip.open(path) as unpacked:
        while part := unpacked.read(1 << 20):
            plain.update(part)
    return f"sha256:{plain.hexdigest()}"


def _members() -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    python = (
        Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    )
    standard = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix}))
    busybox = engines.program("busybox", "busybox-static")
    files = {_inside(python): (python.read_bytes(), 0o755)}
    files |= {"bin/busybox": (busybox.read_bytes(), 0o755)}
    files |= {
        path: (text.encode(), 0o644) for path, text in debian("base-files base-files 12.4").items()
    }
    files |= {_inside(one): (_content(one), 0o644) for one in _modules(standard)}
    compiled = [python, *standard.glob("lib-dynload/*.so")]
    files |= {
        where: (Path(where_from).read_bytes(), 0o755) for where, where_from in _libraries(compiled)
    }
    files["etc/passwd"] = (
        b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
        0o644,
    )
    for path, (content, mode) in files.items():
        yield _member(path, tarfile.REGTYPE, mode, size=len(content)), content
    for folder in {str(above) for path in files for above in Path(path).parents} | {
        "usr/local/bin",
        "tmp",
    }:
        if folder not in (".", "bin"):
            yield _member(folder, tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755), b""
    yield _member("bin", tarfile.DIRTYPE, 0o755), b""
    for applet in APPLETS:
        yield _member(f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox"), b""
    yield _member("usr/local/bin/python3", tarfile.SYMTYPE, 0o777, link=str(python)), b""


def _member(path: str, kind: bytes, mode: int, size: int = 0, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type, member.mode, member.size, member.linkname = kind, mode, size, link
    return member


def _modules(standard: Path) -> Iterator[Path]:
    for path in standard.rglob("*"):
        parts = set(path.relative_to(standard).parts)
        if (
            path.suffix in (".py", ".pyc", ".so")
            and not parts & LEFT_OUT
            and ".opt-" not in path.name
        ):
            yield path


def _content(path: Path) -> bytes:
    """Byte code is said to be good whatever the source's time is (PEP 552, unchecked): an image has no times."""
    content = path.read_bytes()
    return content[:4] + b"\x01" + bytes(11) + content[16:] if path.suffix == ".pyc" else content


def _libraries(programs: list[Path]) -> Iterator[tuple[str, str]]:
    """Shared libraries of these, and the loader: where each is looked for, and where its bytes are."""
    said = subprocess.run(["ldd", *programs], check=False, capture_output=True, text=True).stdout
    for path in sorted({*re.findall(r"(/[^\s:]+\.so[^\s:]*) \(0x", said), *_manylinux()}):
        yield path.lstrip("/"), os.path.realpath(path)


def _manylinux() -> Iterator[str]:
    """Where the loader would find them."""
    known = subprocess.run(
        ["ldconfig", "-p"],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/sbin:/sbin"},
    ).stdout
    for name, path in re.findall(r"^\s+(\S+) \(libc6,x86-64.*\) => (\S+)$", known, re.MULTILINE):
        if name in MANYLINUX:
            yield path


def _inside(path: Path) -> str:
    return str(path).lstrip("/")
