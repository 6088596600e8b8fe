"""A registry, a home with a vulnerability database and keys, the bare tools, and images of about 100 MB of real files."""

import gzip
import hashlib
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tasks import oci, platforms
from tasks.evidence import KeyRole
from tasks.model import Artifact
from tasks.ports import ArtifactStore, Descriptor
from tests.support.cosign_binaries import cosign
from tests.support.engines import free_port
from tests.support.images import python_package
from tests.support.registry import running_registry
from tests.support.scanners import real_trivy
from tests.support.trivy_db import write_database

SERVICE = "hello"
BYTES = 100_000_000
FIRST = ("/var/lib/dpkg/status", "/etc/debian_version", "/usr/lib/os-release")
FOLDERS = ("/usr/lib/python3", "/usr/lib/python3.*", "/usr/share/doc", "/usr/share")


@dataclass(frozen=True)
class Ground:
    """`environment` is what commands are run with; this process has it, too. `bare` is the bare tools' own folder."""

    folder: Path
    home: Path
    bare: Path
    host: str
    environment: dict[str, str]

    @property
    def trivy(self) -> Path:
        return Path(real_trivy())

    @property
    def cosign(self) -> Path:
        return cosign(3)

    def key(self, role: KeyRole, half: str = "key") -> Path:
        return self.home / "keys" / f"{role.value}.{half}"

    def store(self, name: str) -> ArtifactStore:
        return platforms.store(f"{self.host}/bench/{name}")


@dataclass(frozen=True)
class Base:
    """A layer of real files, packed once."""

    packed: Path
    diff_id: str
    unpacked_bytes: int
    files: int


@contextmanager
def ground() -> Iterator[Ground]:
    """Nothing of it stays. The bare tools have the same database and the same keys in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="bkw-") as name:
        folder = Path(name)
        home, bare = folder / "home", folder / "bare"
        changes = {
            "BAKEWELL_HOME": str(home),
            "BAKEWELL_TRIVY_DB": f"127.0.0.1:{free_port()}/trivy-db:2",
            "COSIGN_PASSWORD": "a bench",
            "PREFECT_LOGGING_LEVEL": "ERROR",
        }
        os.environ.update(changes)
        for cache in (home / "trivy", bare / "trivy"):
            write_database(cache / "db", datetime.now(UTC))
        for role in KeyRole:
            platforms.keys().fingerprint(role)
        with running_registry(folder / "registry") as registry:
            yield Ground(folder, home, bare, registry.host, dict(os.environ))


# ---- images --------------------------------------------------------------------------------------


def base_layer(path: Path, size: int = BYTES, skip: int = 0) -> Base:
    """Files of this machine, its list of packages first, until there are `size` bytes; `skip` leaves some out before."""
    chosen = _chosen(size, skip)
    plain = path.with_suffix(".tar")
    with tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as archive:
        for file in chosen:
            member = archive.gettarinfo(file.resolve(), str(file).lstrip("/"))
            member.mtime, member.uid, member.gid, member.type = 0, 0, 0, tarfile.REGTYPE
            member.size = file.stat().st_size
            with file.open("rb") as content:
                archive.addfile(member, content)
    raw = plain.read_bytes()
    plain.unlink()
    path.write_bytes(gzip.compress(raw, 1, mtime=0))
    return Base(path, oci.digest_of(raw), len(raw), len(chosen))


def _chosen(size: int, skip: int) -> list[Path]:
    found, left, skipped = [Path(name) for name in FIRST], size, 0
    seen = set[Path]()
    for file in _files():
        if left <= 0:
            break
        if file in seen:
            continue
        seen.add(file)
        if skipped < skip:
            skipped += file.stat().st_size
            continue
        found.append(file)
        left -= file.stat().st_size
    return found


def _files() -> Iterator[Path]:
    for pattern in FOLDERS:
        for folder in sorted(Path("/").glob(pattern.lstrip("/"))):
            for file in sorted(folder.rglob("*")):
                if file.is_file() and not file.is_symlink() and os.access(file, os.R_OK):
                    yield file


def image(store: ArtifactStore, base: Base, words: str) -> Artifact:
    """That base, and a small layer of a service that differs by `words`."""
    packed, name = _small_layer(words)
    layers = [store.put_blob(base.packed), store.put_blob(packed)]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Cmd": ["python3", "/app/main.py"], "WorkingDir": "/app"},
        "rootfs": {"type": "layers", "diff_ids": [base.diff_id, name]},
    }
    raw = oci.canonical(_manifest(store.put_blob(oci.canonical(config)), layers))
    return Artifact(SERVICE, store.put_manifest(raw), store.repository)


def _small_layer(words: str) -> tuple[bytes, str]:
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            files = {"app/main.py": f"print({words!r})\n", **python_package("fine", "1.0", "MIT")}
            for path, text in files.items():
                member = tarfile.TarInfo(path)
                member.size = len(text.encode())
                with tempfile.TemporaryFile() as content:
                    content.write(text.encode())
                    content.seek(0)
                    archive.addfile(member, content)
        file.seek(0)
        plain = file.read()
    return gzip.compress(plain, 1, mtime=0), f"sha256:{hashlib.sha256(plain).hexdigest()}"


def _manifest(config: Descriptor, layers: Sequence[Descriptor]) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {"mediaType": oci.CONFIG, "digest": config.digest, "size": config.size},
        "layers": [
            {"mediaType": oci.LAYER, "digest": one.digest, "size": one.size} for one in layers
        ],
    }
