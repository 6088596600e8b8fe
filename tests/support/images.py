"""Real images of about 2 kB, each with one thing that a gate must see. Debian 12 by its files; the service in it runs.

What the scanner knows of them is in trivy_db.KNOWN. Secrets are put together here, so that no file of ours holds one.
"""

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from tasks import oci
from tasks.model import Artifact
from tasks.ports import ArtifactStore

FILE_SECRET: Final = "AKIA" + "IOSFODNN7EXAMPLQ"
ENV_SECRET: Final = "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789"
SERVER: Final = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class ImageKind(StrEnum):
    """What is to be seen in an image."""

    CLEAN = "clean"
    FIXABLE_CRITICAL = "fixable critical"
    UNFIXED_CRITICAL = "unfixed critical"
    WILL_NOT_FIX = "will not fix"
    PYTHON_CRITICAL = "fixable critical of Python"
    UNRECOGNISED = "unrecognised content"
    SECRET_IN_FILE = "secret in a file"
    SECRET_IN_ENV = "secret in ENV"
    LICENCE = "licence AGPL-3.0-only"


@dataclass(frozen=True)
class Content:
    """What an image has in it: paths without a leading slash; `environment` as NAME=value."""

    files: Mapping[str, str]
    environment: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def image(store: ArtifactStore, kind: ImageKind, service: str = "hello") -> Artifact:
    """Put the image of that kind there; the same digest each time. Tagged with its kind."""
    return image_of(store, _content(kind), service, kind.value.replace(" ", "-"))


def image_of(store: ArtifactStore, content: Content, service: str, tag: str) -> Artifact:
    """One layer, a configuration and a manifest."""
    plain = _tar({"app/main.py": SERVER, **content.files})
    layer = store.put_blob(gzip.compress(plain, 6, mtime=0))
    config = store.put_blob(oci.canonical(_config(content, oci.digest_of(plain))))
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {"mediaType": oci.CONFIG, "digest": config.digest, "size": config.size},
        "layers": [{"mediaType": oci.LAYER, "digest": layer.digest, "size": layer.size}],
    }
    return Artifact(service, store.put_manifest(oci.canonical(manifest), tag), store.repository)


def debian(*packages: str) -> dict[str, str]:
    """Files by which scanners take an image for Debian 12. A package is `name source version`."""
    status = "\n".join(map(_installed, packages))
    return {
        "etc/debian_version": "12.11\n",
        "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
        "var/lib/dpkg/status": status,
    }


def python_package(name: str, version: str, licence: str = "") -> dict[str, str]:
    """An installed Python package, as far as scanners look."""
    folder = f"usr/lib/python3/dist-packages/{name}-{version}.dist-info"
    told = f"License: {licence}\n" if licence else ""
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{told}"
    return {f"{folder}/METADATA": text}


def _content(kind: ImageKind) -> Content:
    fine = {**debian("base-files base-files 12.4"), **python_package("fine", "1.0", "MIT")}
    added: dict[ImageKind, dict[str, str]] = {
        ImageKind.FIXABLE_CRITICAL: debian("libssl3 openssl 3.0.20-1~deb12u2", "tzdata tzdata 1"),
        ImageKind.UNFIXED_CRITICAL: debian("zlib1g zlib 1:1.2.13.dfsg-1", "tzdata tzdata 1"),
        ImageKind.WILL_NOT_FIX: debian("bash bash 5.2.15-2", "tzdata tzdata 1"),
        ImageKind.PYTHON_CRITICAL: python_package("leaky", "1.0"),
        ImageKind.SECRET_IN_FILE: {"app/settings.py": f'KEY = "{FILE_SECRET}"\n'},
        ImageKind.LICENCE: python_package("greedy", "1.0", "AGPL-3.0-only"),
    }
    if kind is ImageKind.UNRECOGNISED:
        return Content({"app/notes.txt": "nothing that a scanner knows\n"})
    environment = (f"GH_TOKEN={ENV_SECRET}",) if kind is ImageKind.SECRET_IN_ENV else ()
    return Content({**fine, **added.get(kind, {})}, environment)


def _installed(package: str) -> str:
    name, source, version = package.split()
    return (
        f"Package: {name}\nStatus: install ok installed\nSource: {source}\n"
        f"Version: {version}\nArchitecture: amd64\n"
    )


def _config(content: Content, diff_id: str) -> dict[str, object]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Cmd": ["python3", "/app/main.py"],
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", *content.environment],
            "Labels": dict(content.labels),
            "WorkingDir": "/app",
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "a test"}],
    }


def _tar(files: Mapping[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, text in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(text.encode()), 0o644
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()
