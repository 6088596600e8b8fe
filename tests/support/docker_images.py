"""Small images for containers, made of the busybox that is here: no hub, no Dockerfile, some 100 kB to load."""

import gzip
import io
import os
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from tasks import oci
from tasks.model import Artifact
from tasks.ports import ArtifactStore
from tests.support import engines

HTTPD: Final = ("/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www")


def shell(script: str) -> tuple[str, ...]:
    return ("/bin/busybox", "sh", "-c", script)


def busybox_image(
    store: ArtifactStore,
    version: str,
    command: Sequence[str] = HTTPD,
    grace_seconds: float = 2,
    labels: Mapping[str, str] | None = None,
) -> Artifact:
    """An image whose web server answers its version at `/`; the same digest each time."""
    www = _tar({"www/index.html": (version.encode(), 0o644)})
    plains = (_busybox(), www)
    layers = [store.put_blob(_packed(plain)) for plain in plains]
    told = {
        "bakewell.service": "hello",
        "bakewell.health": "/",
        "bakewell.grace-seconds": str(grace_seconds),
        **(labels or {}),
    }
    config = store.put_blob(oci.canonical(_config(command, told, plains)))
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {"mediaType": oci.CONFIG, "digest": config.digest, "size": config.size},
        "layers": [{"mediaType": oci.LAYER, "digest": x.digest, "size": x.size} for x in layers],
    }
    return Artifact("hello", store.put_manifest(oci.canonical(manifest)), store.repository)


def _config(
    command: Sequence[str], labels: Mapping[str, str], plains: Sequence[bytes]
) -> dict[str, object]:
    return {
        "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Cmd": list(command),
            "Env": ["PATH=/bin", "COLOUR=blue"],
            "ExposedPorts": {"8080/tcp": {}},
            "Labels": dict(labels),
            "User": "1000:1000",
        },
        "rootfs": {"type": "layers", "diff_ids": [oci.digest_of(plain) for plain in plains]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "a test"}] * len(plains),
    }


@cache
def _busybox() -> bytes:
    """And /tmp, open to all: a place to mount on must be there, and runc gives the mount its mode."""
    found = shutil.which("busybox")
    if found is None:
        engines.missing("needs busybox on PATH; on Debian: apt-get install busybox-static")
    return _tar({"bin/busybox": (Path(found).read_bytes(), 0o755), "tmp": (None, 0o1777)})


@cache
def _packed(plain: bytes) -> bytes:
    return gzip.compress(plain, 1, mtime=0)


def _tar(files: Mapping[str, tuple[bytes | None, int]]) -> bytes:
    """A folder where there is no content."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, (content, mode) in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content or b""), mode
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            archive.addfile(member, io.BytesIO(content or b""))
    return packed.getvalue()
