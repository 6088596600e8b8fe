"""A small vulnerability database that the real Trivy reads: tests know what it must find, and need no download.

bbolt's file format, little endian, pages of 4096 bytes (https://github.com/etcd-io/bbolt, page.go and bucket.go):
  page: id u64, flags u16, count u16, overflow u32;  pages 0 and 1: meta, 2: free list
  meta: magic, version 2, page size, flags u32; root page, root sequence, free list page, high water, transaction u64;
        FNV-1a-64 of those 56 bytes
  leaf element: flags u32 (1: a bucket), offset u32 (from this element), key size u32, value size u32
  value of a bucket: root page u64, sequence u64
Buckets here have one leaf page each, as long as it needs to be. No Python package writes files that bbolt accepts.
"""

import io
import json
import struct
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Union

from tasks.ports import ArtifactStore

PAGE: Final = 4096
LEAF, META, FREE_LIST = 0x02, 0x04, 0x10
MAGIC, VERSION = 0xED0CDAED, 2
SEVERITIES: Final = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
PIP: Final = "pip::GitHub Security Advisory pip"
SOURCE: Final = {
    "ID": "ghsa",
    "Name": "GitHub Security Advisory pip",
    "URL": "https://github.com/advisories?query=ecosystem%3Apip",
}
DEBIAN: Final = "debian 12"
DEBIAN_SOURCE: Final = {
    "ID": "debian",
    "Name": "Debian Security Tracker",
    "URL": "https://salsa.debian.org/security-tracker-team/security-tracker",
}
STATUSES: Final = {"affected": 2, "fixed": 3, "will_not_fix": 5}
CONFIG: Final = "application/vnd.aquasec.trivy.config.v1+json"
LAYER: Final = "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip"
Tree = Mapping[str, Union[bytes, "Tree"]]


@dataclass(frozen=True)
class Advisory:
    """What is known of one Python package. `fixed` empty: no fix exists."""

    id: str
    package: str
    vulnerable: str
    fixed: str
    severity: str
    title: str = "something is wrong with it"
    published: str = "2024-01-01T00:00:00Z"


@dataclass(frozen=True)
class DebianAdvisory:
    """What is known of one source package of Debian 12. `fixed` empty: no fix exists, and `status` says what is done."""

    id: str
    package: str
    fixed: str
    severity: str
    status: str = "fixed"
    title: str = "something is wrong with it"
    published: str = "2024-01-01T00:00:00Z"


KNOWN: Final = (
    Advisory("CVE-2023-32681", "requests", ">=2.3.0, <2.31.0", "2.31.0", "MEDIUM"),
    Advisory("CVE-2099-0001", "leaky", "<2.0", "2.0", "CRITICAL"),
    Advisory("CVE-2099-0002", "hopeless", ">=0", "", "HIGH"),
    DebianAdvisory("CVE-2099-1001", "openssl", "9.0.0-1", "CRITICAL"),
    DebianAdvisory("CVE-2099-1002", "zlib", "", "CRITICAL", "affected"),
    DebianAdvisory("CVE-2099-1003", "bash", "", "HIGH", "will_not_fix"),
)


def write_database(
    folder: Path,
    updated_at: datetime,
    advisories: Sequence[Advisory | DebianAdvisory] = KNOWN,
) -> None:
    """trivy.db and metadata.json in `folder`, as if downloaded at `updated_at`."""
    folder.mkdir(parents=True, exist_ok=True)
    known: dict[str, dict[str, dict[str, bytes]]] = {PIP: {}, DEBIAN: {}}
    for one in advisories:
        where = known[PIP if isinstance(one, Advisory) else DEBIAN]
        where.setdefault(one.package, {})[one.id] = _affected(one)
    tree: Tree = {
        **known,
        "data-source": {PIP: _json(SOURCE), DEBIAN: _json(DEBIAN_SOURCE)},
        "vulnerability": {one.id: _details(one) for one in advisories},
    }
    (folder / "trivy.db").write_bytes(_Bolt().file(tree))
    until = updated_at + timedelta(hours=24)
    metadata = {
        "Version": 2,
        "NextUpdate": f"{until:%Y-%m-%dT%H:%M:%SZ}",
        "UpdatedAt": f"{updated_at:%Y-%m-%dT%H:%M:%SZ}",
        "DownloadedAt": f"{updated_at:%Y-%m-%dT%H:%M:%SZ}",
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))


def publish_database(store: ArtifactStore, folder: Path, tag: str = "2") -> str:
    """Put the database in `folder` where Trivy downloads one from, in its published form; its digest."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("trivy.db", "metadata.json"):
            archive.add(folder / name, name)
    layer, config = store.put_blob(packed.getvalue()), store.put_blob(b"{}")
    title = {"org.opencontainers.image.title": "db.tar.gz"}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": CONFIG, "digest": config.digest, "size": config.size},
        "layers": [
            {"mediaType": LAYER, "digest": layer.digest, "size": layer.size, "annotations": title}
        ],
    }
    return store.put_manifest(_json(manifest), tag)


def _affected(one: Advisory | DebianAdvisory) -> bytes:
    """Which versions have it. Trivy reads an absent fix of an operating system's package as: every version."""
    if isinstance(one, DebianAdvisory):
        fixed = {"FixedVersion": one.fixed} if one.fixed else {}
        return _json({**fixed, "Status": STATUSES[one.status]})
    patched = [one.fixed] if one.fixed else []
    return _json({"VulnerableVersions": [one.vulnerable], "PatchedVersions": patched})


def _details(one: Advisory | DebianAdvisory) -> bytes:
    severity = SEVERITIES.index(one.severity)
    vendors = {"ghsa": severity, "debian": severity, "nvd": severity}
    told = {"Title": one.title, "Description": one.title, "Severity": one.severity}
    dates = {"PublishedDate": one.published} if one.published else {}
    return _json({**told, **dates, "VendorSeverity": vendors})


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


class _Bolt:
    """Writes one tree of buckets."""

    def __init__(self) -> None:
        self._pages: dict[int, bytes] = {}
        self._next = 3

    def file(self, tree: Tree) -> bytes:
        root = self._bucket(tree)
        self._pages[2] = struct.pack("<QHHI", 2, FREE_LIST, 0, 0)
        for number in (0, 1):
            fields = (MAGIC, VERSION, PAGE, 0, root, 0, 2, self._next, number)
            meta = struct.pack("<IIIIQQQQQ", *fields)
            head = struct.pack("<QHHI", number, META, 0, 0)
            self._pages[number] = head + meta + struct.pack("<Q", _fnv1a64(meta))
        content = bytearray(self._next * PAGE)
        for number, page in self._pages.items():
            content[number * PAGE : number * PAGE + len(page)] = page
        return bytes(content)

    def _bucket(self, tree: Tree) -> int:
        """Its page. Keys are sorted by bytes."""
        items = [
            (0, key.encode(), value)
            if isinstance(value, bytes)
            else (1, key.encode(), struct.pack("<QQ", self._bucket(value), 0))
            for key, value in sorted(tree.items(), key=lambda item: item[0].encode())
        ]
        heads, data, offset = b"", b"", len(items) * 16
        for number, (flags, key, value) in enumerate(items):
            heads += struct.pack("<IIII", flags, offset - number * 16, len(key), len(value))
            data += key + value
            offset += len(key) + len(value)
        return self._leaf(len(items), heads + data)

    def _leaf(self, count: int, body: bytes) -> int:
        pages = -(-(16 + len(body)) // PAGE)
        number, self._next = self._next, self._next + pages
        self._pages[number] = struct.pack("<QHHI", number, LEAF, count, pages - 1) + body
        return number


def _fnv1a64(data: bytes) -> int:
    found = 0xCBF29CE484222325
    for byte in data:
        found = ((found ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return found
