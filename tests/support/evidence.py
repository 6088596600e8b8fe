"""Ground for tests of evidence: small artifacts, a keyring with a clock of its own, statements that others might have made."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks import oci
from tasks.adapters import cosign_bundle, cosign_key
from tasks.adapters.keyring import Keyring
from tasks.bake.bakery import bake
from tasks.evidence import PREDICATES, KeyRole, Kind, Statement
from tasks.model import Artifact
from tasks.ports import ArtifactStore
from tests.support.baking import service

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SCAN = Statement(
    Kind.SCAN,
    {
        "invocation": {"parameters": [], "uri": "", "event_id": "", "builder.id": "bakewell"},
        "scanner": {"uri": "x", "version": "1", "db": {"uri": "", "version": "2"}, "result": {}},
        "metadata": {
            "scanStartedOn": "2026-01-01T00:00:00Z",
            "scanFinishedOn": "2026-01-01T00:00:01Z",
        },
    },
)
Flip = Callable[[str], None]


def flip(path: Path) -> None:
    """Change one bit, as a broken disk would."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(raw)


def baked(store: ArtifactStore, folder: Path, words: str = "hello") -> Artifact:
    source = folder / words
    source.mkdir(exist_ok=True)
    (source / "main.py").write_text(f"print({words!r})\n")
    return bake(service(), source, store, folder / "cache").artifact


@contextmanager
def cheap_keys() -> Iterator[None]:
    """Key files whose password is stretched less than cosign would: they open a hundred times faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cosign_key.SCRYPT, "N", 1024)
        yield


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


def keyring(folder: Path, clock: Callable[[], datetime] = Clock()) -> Keyring:  # noqa: B008
    """A keyring on a fixed day."""
    return Keyring(folder, now=clock)


def written(
    keys: Keyring, role: KeyRole, digest: str, kind: Kind, predicate: Mapping[str, Any]
) -> bytes:
    """A bundle by that role's key, whatever its kind: what an intruder with that key could write."""
    payload = cosign_bundle.statement(digest, PREDICATES[kind], predicate)
    return cosign_bundle.bundle(payload, lambda said: keys.sign(role, said), keys.fingerprint(role))


def hang(store: ArtifactStore, artifact: Artifact, raw: bytes, **changes: Any) -> str:
    """Put bytes beside an artifact as if they were a bundle; `changes` are to its descriptor. Digest of the manifest."""
    store.put_blob(raw)
    store.put_blob(b"{}")
    about = store.manifest(artifact.digest)
    subject = {"mediaType": oci.MANIFEST, "digest": artifact.digest, "size": len(about)}
    manifest = json.loads(cosign_bundle.bundle_manifest(raw, "whatever", subject))
    manifest["layers"][0] |= changes
    return store.put_manifest(oci.canonical(manifest))


def bundle_of(store: ArtifactStore, referrer: str) -> str:
    """The digest of the bundle that a referrer holds."""
    return str(json.loads(store.manifest(referrer))["layers"][0]["digest"])
