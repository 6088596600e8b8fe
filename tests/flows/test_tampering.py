"""A matrix of tampering: each case is refused for its own reason where somebody would go back to the artifact, and nothing
starts. The artifact was released, promoted and admitted before: what was checked once is not believed for ever."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from flows.admission import ensure_admitted
from flows.rollback import rollback
from tasks import oci, platforms
from tasks.adapters import cosign_bundle
from tasks.adapters.keyring import Keyring
from tasks.adapters.layout import LayoutStore
from tasks.errors import NotAdmittedError, NotFoundError
from tasks.evidence import Attested, KeyRole, Kind, Proof, ScanReport
from tasks.model import Artifact
from tasks.sign import evidence
from tasks.sign.rules import newest_scan, scan_predicate
from tests.flows.scene import Scene, make_scene
from tests.support.evidence import bundle_of, flip, hang, written
from tests.support.trivy_db import write_database

pytestmark = pytest.mark.timeout(300)
NOW: Final = datetime.now(UTC)


@dataclass(frozen=True)
class Ground:
    """Two artifacts of one service, both promoted; `first` is to be gone back to."""

    scene: Scene
    first: Artifact
    second: Artifact

    @property
    def store(self) -> LayoutStore:
        return LayoutStore(self.folder)

    @property
    def folder(self) -> Path:
        return Path(self.first.repository.removeprefix("layout:"))

    def of(self, kind: Kind, artifact: Artifact | None = None) -> Attested:
        """A piece of evidence that holds."""
        found = evidence.examine(artifact or self.first).of(kind)
        return next(one for one in found if one.proof is Proof.VALID)

    def raw(self, kind: Kind, artifact: Artifact | None = None) -> bytes:
        return self.store.blob(bundle_of(self.store, self.of(kind, artifact).digest))

    def take_away(self, kind: Kind) -> None:
        """From the list of what lies beside the artifact."""
        gone = {one.digest for one in evidence.examine(self.first).of(kind)}
        kept = [one for one in self.store.referrers(self.first.digest) if one.digest not in gone]
        index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [*map(oci.to_json, kept)]}
        self.store.put_manifest(oci.canonical(index), oci.referrers_tag(self.first.digest))

    def put_instead(self, kind: Kind, raw: bytes, **changes: Any) -> None:
        self.take_away(kind)
        hang(self.store, self.first, raw, **changes)

    def path(self, digest: str) -> Path:
        return self.folder / "blobs" / "sha256" / oci.hex_of(digest)


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keys and database are tampered with, too: not those of other tests, which run at the same time."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEWELL_HOME", str(home))
        yield home


@pytest.fixture(scope="module")
def prepared(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    write_database(platforms.home() / "trivy" / "db", NOW)
    scene = make_scene(tmp_path_factory.mktemp("tampering"), "tampered")
    scene.edit(warm_seconds=0, strategy={"kind": "all-at-once"})
    scene.release()
    first = scene.state().stable
    scene.write("2")
    scene.release()
    second = scene.state().stable
    assert first
    assert second
    return Ground(scene, first.artifact, second.artifact)


@pytest.fixture
def ground(prepared: Ground, tmp_path: Path) -> Iterator[Ground]:
    """Everything as it was, before and after."""
    write_database(platforms.home() / "trivy" / "db", NOW)
    kept = {prepared.folder: tmp_path / "store", platforms.home() / "keys": tmp_path / "keys"}
    for folder, copy in kept.items():
        shutil.copytree(folder, copy)
    yield prepared
    for folder, copy in kept.items():
        shutil.rmtree(folder)
        shutil.copytree(copy, folder)


# ---- the cases -----------------------------------------------------------------------------------


def payload(ground: Ground) -> str:
    bundle = json.loads(ground.raw(Kind.PROVENANCE))
    said = json.loads(cosign_bundle.opened_bundle(ground.raw(Kind.PROVENANCE)).payload)
    said["predicate"]["buildDefinition"]["externalParameters"] = {}
    bundle["dsseEnvelope"]["payload"] = cosign_bundle.b64(oci.canonical(said))
    ground.put_instead(Kind.PROVENANCE, oci.canonical(bundle))
    return "its provenance is altered"


def subject(ground: Ground) -> str:
    ground.put_instead(Kind.PROVENANCE, ground.raw(Kind.PROVENANCE, ground.second))
    return "its provenance is moved: it was made for another artifact"


def signature(ground: Ground) -> str:
    flip(ground.path(bundle_of(ground.store, signature_image(ground, ground.first))))
    return "its signature, .sig tag is altered"


def key(ground: Ground) -> str:
    strangers = Keyring(ground.folder.parent / "strangers")
    predicate = ground.of(Kind.PROVENANCE).predicate
    raw = written(strangers, KeyRole.BUILDER, ground.first.digest, Kind.PROVENANCE, predicate)
    ground.put_instead(Kind.PROVENANCE, raw)
    return "its provenance is wrong key"


def role(ground: Ground) -> str:
    predicate = ground.of(Kind.SPDX).predicate
    raw = written(platforms.keys(), KeyRole.RELEASER, ground.first.digest, Kind.SPDX, predicate)
    ground.put_instead(Kind.SPDX, raw)
    return "its spdx is wrong role"


def predicate_type(ground: Ground) -> str:
    predicate = ground.of(Kind.CYCLONEDX).predicate
    raw = written(platforms.keys(), KeyRole.SCANNER, ground.first.digest, Kind.SPDX, predicate)
    ground.put_instead(Kind.CYCLONEDX, raw)
    return "its cyclonedx is missing"


def missing_child(ground: Ground) -> str:
    ground.path(bundle_of(ground.store, ground.of(Kind.PROVENANCE).digest)).unlink()
    return "its provenance is incomplete"


def moved_tag(ground: Ground) -> str:
    other = ground.store.manifest(signature_image(ground, ground.second))
    ground.store.put_manifest(other, cosign_bundle.signature_tag(ground.first.digest))
    return "its signature, .sig tag is moved"


def replayed(ground: Ground) -> str:
    """All that vouches for the other one."""
    listed = ground.store.resolve(oci.referrers_tag(ground.second.digest))
    assert listed
    ground.store.put_manifest(ground.store.manifest(listed), oci.referrers_tag(ground.first.digest))
    return "its signature, bundle is moved"


def expired_key(ground: Ground) -> str:
    with platforms.keys().changing() as change:
        for one in change.trusted.keys:
            change.put(one.model_copy(update={"not_after": NOW - timedelta(days=1)}))
    return "key not valid today"


def truncated(ground: Ground) -> str:
    raw = ground.raw(Kind.PROVENANCE)
    ground.put_instead(Kind.PROVENANCE, raw[: len(raw) // 2])
    return "its provenance is unreadable"


def oversized(ground: Ground) -> str:
    ground.put_instead(Kind.PROVENANCE, ground.raw(Kind.PROVENANCE), size=10**9)
    return "its provenance is too large"


def old_database(ground: Ground) -> str:
    """What was known then says nothing of today, and there is nothing newer."""
    long_ago = NOW - timedelta(hours=90)
    write_database(platforms.home() / "trivy" / "db", long_ago)
    report = newest_scan([ground.of(Kind.SCAN).predicate], ground.first.digest)
    assert isinstance(report, ScanReport)
    old = scan_predicate(replace(report, database_updated_at=long_ago))
    raw = written(platforms.keys(), KeyRole.SCANNER, ground.first.digest, Kind.SCAN, old)
    ground.put_instead(Kind.SCAN, raw)
    return "the vulnerability database is 90 h old"


def deleted(ground: Ground) -> str:
    """All evidence, after it was admitted today."""
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": []}
    ground.store.put_manifest(oci.canonical(index), oci.referrers_tag(ground.first.digest))
    ground.path(signature_image(ground, ground.first)).unlink()
    return "its signature, .sig tag is incomplete"


def signature_image(ground: Ground, artifact: Artifact) -> str:
    found = ground.store.resolve(cosign_bundle.signature_tag(artifact.digest))
    assert found
    return found


CASES: Final[list[Callable[[Ground], str]]] = [
    payload,
    subject,
    signature,
    key,
    role,
    predicate_type,
    missing_child,
    moved_tag,
    replayed,
    expired_key,
    truncated,
    oversized,
    old_database,
    deleted,
]


@pytest.mark.parametrize("spoil", CASES, ids=lambda case: case.__name__)
def test_it_is_refused_for_its_own_reason_and_nothing_starts(
    ground: Ground, spoil: Callable[[Ground], str]
) -> None:
    policy = platforms.policy("default")
    ensure_admitted(ground.first, policy)  # remembered for today
    before = ground.scene.status()
    reason = spoil(ground)
    with pytest.raises(NotFoundError, match=re.escape(reason)):
        rollback(ground.scene.name, "production")
    with pytest.raises(NotAdmittedError, match=re.escape(reason)):
        ensure_admitted(ground.first, policy)
    assert ground.scene.status() == before


def test_untouched_it_is_gone_back_to(ground: Ground) -> None:
    """The matrix refuses what was tampered with, not everything."""
    assert rollback(ground.scene.name, "production").artifact == ground.first


POLICY: Final = """\
waivers:
  - id: CVE-2099-0001
    owner: ann@example.org
    reason: it is never called here
    expires: {day}
"""


@pytest.mark.usefixtures("own_home")
def test_a_waiver_that_has_expired_lets_nothing_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waived_until(days: int) -> None:
        day = NOW.date() + timedelta(days=days)
        (tmp_path / "default.yaml").write_text(POLICY.format(day=day))

    monkeypatch.setenv("BAKEWELL_POLICIES", str(tmp_path))
    write_database(platforms.home() / "trivy" / "db", NOW)
    waived_until(days=1)
    scene = make_scene(tmp_path, "waived")
    scene.edit(warm_seconds=0, strategy={"kind": "all-at-once"})
    leaky = "Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n"
    (scene.folder / "METADATA").write_text(leaky)
    for version in ("1", "2"):
        scene.write(version)
        scene.release()
    before = scene.status()
    waived_until(days=-1)
    expired = rf"CVE-2099-0001 \(CRITICAL\) in leaky 1\.0.*ann@example\.org for it expired on {NOW.date() - timedelta(days=1)}"
    with pytest.raises(NotFoundError, match=expired):
        rollback(scene.name, "production")
    assert scene.status() == before
