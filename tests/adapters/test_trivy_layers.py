"""Images that lie about their layers: what a scanner remembers by a layer's name must not vouch for other bytes."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tasks import oci
from tasks.adapters import trivy_layers
from tasks.adapters.layout import LayoutStore
from tasks.errors import RefusedError
from tasks.evidence import FindingKind, ScanNotDone, ScanReport
from tasks.model import Artifact
from tests.support.images import python_package
from tests.support.scanners import need_trivy, scanner, scanner_home

CLEAN = python_package("fine", "1.0", "MIT")
LEAKY = python_package("leaky", "1.0")


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(tmp_path / "artifacts")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    need_trivy()
    return scanner_home(tmp_path, monkeypatch)


def packed(files: Mapping[str, str]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return raw.getvalue()


def made(
    store: LayoutStore,
    layers: Sequence[Mapping[str, str]],
    named_as: Sequence[Mapping[str, str]] | None = None,
    level: int = 6,
) -> Artifact:
    """An image of these layers, whose configuration names those others."""
    blobs = [store.put_blob(gzip.compress(packed(one), level, mtime=0)) for one in layers]
    names = [oci.digest_of(packed(one)) for one in (layers if named_as is None else named_as)]
    rootfs = {"type": "layers", "diff_ids": names}
    config = store.put_blob(
        oci.canonical({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs})
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {"mediaType": oci.CONFIG, "digest": config.digest, "size": config.size},
        "layers": [
            {"mediaType": oci.LAYER, "digest": one.digest, "size": one.size} for one in blobs
        ],
    }
    return Artifact("hello", store.put_manifest(oci.canonical(manifest)), store.repository)


def known_wrong(home: Path, store: LayoutStore, artifact: Artifact) -> set[str]:
    report = scanner(home, store).scan(artifact, 60).report
    assert isinstance(report, ScanReport), report
    return {one.id for one in report.findings if one.kind is FindingKind.VULNERABILITY}


@pytest.mark.engine
def test_a_layer_that_calls_itself_by_the_name_of_a_clean_one_is_looked_at_all_the_same(
    home: Path, store: LayoutStore
) -> None:
    assert known_wrong(home, store, made(store, [CLEAN])) == set()
    liar = made(store, [LEAKY], named_as=[CLEAN])
    assert known_wrong(home, store, liar) == {"CVE-2099-0001"}


@pytest.mark.engine
def test_a_clean_layer_that_was_seen_by_the_name_of_a_vulnerable_one_hides_nothing(
    home: Path, store: LayoutStore
) -> None:
    liar = made(store, [CLEAN], named_as=[LEAKY])
    assert known_wrong(home, store, liar) == set()
    for _ in range(2):
        assert known_wrong(home, store, made(store, [LEAKY])) == {"CVE-2099-0001"}


@pytest.mark.engine
def test_the_same_layer_packed_otherwise_is_looked_at_anew(home: Path, store: LayoutStore) -> None:
    for level in (1, 9):
        found = known_wrong(home, store, made(store, [LEAKY], level=level))
        assert found == {"CVE-2099-0001"}


@pytest.mark.engine
@pytest.mark.parametrize(
    ("layers", "named_as", "told"),
    [
        ([CLEAN, LEAKY], [CLEAN], "has 2 layers and names 1"),
        ([CLEAN], [CLEAN, LEAKY], "has 1 layers and names 2"),
        ([CLEAN, LEAKY], [CLEAN, CLEAN], "different layers have the same name"),
    ],
)
def test_an_image_that_hides_a_layer_from_its_scanner_is_not_scanned(
    home: Path,
    store: LayoutStore,
    layers: list[dict[str, str]],
    named_as: list[dict[str, str]],
    told: str,
) -> None:
    report = scanner(home, store).scan(made(store, layers, named_as), 60).report
    assert isinstance(report, ScanNotDone)
    assert told in report.reason


@pytest.mark.engine
def test_the_same_layer_twice_is_no_lie(home: Path, store: LayoutStore) -> None:
    assert known_wrong(home, store, made(store, [LEAKY, CLEAN, LEAKY])) == {"CVE-2099-0001"}


@pytest.mark.engine
def test_a_list_of_images_is_not_scanned_as_if_it_were_one(home: Path, store: LayoutStore) -> None:
    one = made(store, [LEAKY])
    entry = {"mediaType": oci.MANIFEST, "digest": one.digest, "size": 1}
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]}
    several = Artifact("hello", store.put_manifest(oci.canonical(index)), store.repository)
    report = scanner(home, store).scan(several, 60).report
    assert isinstance(report, ScanNotDone)
    assert "scan one of its digests" in report.reason


def test_a_memory_of_unknown_origin_is_thrown_away(tmp_path: Path) -> None:
    learnt = tmp_path / "fanal" / "fanal.db"
    names = {"sha256:1": "sha256:a"}
    assert trivy_layers.may_remember(tmp_path, names)
    learnt.write_bytes(b"layers")
    assert trivy_layers.may_remember(tmp_path, {"sha256:2": "sha256:b"})
    assert not trivy_layers.may_remember(tmp_path, {"sha256:1": "sha256:b"})
    assert trivy_layers.may_remember(tmp_path, names)
    assert learnt.exists()
    for broken in (b"", b"[]", b'{"sha256:1"'):
        (tmp_path / "fanal" / "named.json").write_bytes(broken)
        learnt.write_bytes(b"layers")
        assert trivy_layers.may_remember(tmp_path, names)
        assert not learnt.exists()


def test_before_a_shared_memory_is_used_each_layer_is_read_and_compared_once(
    tmp_path: Path, store: LayoutStore
) -> None:
    honest = made(store, [CLEAN, LEAKY])
    names = trivy_layers.named(store, honest)
    trivy_layers.verify(store, honest, tmp_path, names)
    assert json.loads((tmp_path / "verified.json").read_bytes()) == names
    for blob in names.values():
        path = Path(store.repository.removeprefix("layout:")) / "blobs/sha256" / blob[7:]
        path.unlink()
    trivy_layers.verify(store, honest, tmp_path, names)
    liar = made(store, [LEAKY], named_as=[CLEAN])
    with pytest.raises(RefusedError, match="not what its configuration calls it"):
        trivy_layers.verify(store, liar, tmp_path, trivy_layers.named(store, liar))


def test_a_layer_that_is_not_packed_and_one_of_two_parts_are_read_as_they_are(
    tmp_path: Path, store: LayoutStore
) -> None:
    plain = packed(CLEAN)
    half = len(plain) // 2
    both = gzip.compress(plain[:half]) + gzip.compress(plain[half:])
    for content in (plain, both):
        blob = store.put_blob(content)
        names = {oci.digest_of(plain): blob.digest}
        artifact = Artifact("hello", blob.digest, store.repository)
        (tmp_path / "verified.json").unlink(missing_ok=True)
        trivy_layers.verify(store, artifact, tmp_path, names)
        assert (tmp_path / "verified.json").exists()
