"""What the command says of evidence that holds, and of evidence that somebody has been at; and that nothing false runs."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks import oci
from tasks.adapters import cosign_bundle
from tasks.adapters.layout import LayoutStore
from tasks.adapters.service_file import read_service
from tasks.bake.bakery import bake
from tests.e2e.conftest import Bakewell, MakeService, Service, copy_of_example

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(300)]
BAD_INPUT, REFUSED = 2, 4


def flipped_bit(store: LayoutStore, folder: Path, digest: str, other: str) -> str:
    """In the signature of cosign 2's format."""
    layers = oci.checked_manifest(store.manifest(tag_of(store, digest)))["layers"]
    path = folder / "blobs" / "sha256" / oci.hex_of(layers[0]["digest"])
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(raw)
    return "altered"


def moved_signature(store: LayoutStore, folder: Path, digest: str, other: str) -> str:
    store.put_manifest(store.manifest(tag_of(store, other)), cosign_bundle.signature_tag(digest))
    return "moved"


def wrong_key(store: LayoutStore, folder: Path, digest: str, other: str) -> str:
    """The keys of this machine are others now."""
    shutil.rmtree(folder.parents[1] / "keys")
    return "wrong key"


def tag_of(store: LayoutStore, digest: str) -> str:
    found = store.resolve(cosign_bundle.signature_tag(digest))
    assert found
    return found


@dataclass(frozen=True)
class Released:
    """A service in staging, first and second version; both digests."""

    service: Service
    first: str
    second: str


@pytest.fixture(scope="module")
def released(bakewell: Bakewell, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Released]:
    service = copy_of_example(tmp_path_factory.mktemp("spoiled"), "spoiled")
    found = []
    for version in (1, 2):
        service.version(version)
        answer = bakewell("release", service.folder, "--to", "staging", "--json")
        found.append(answer.json["digest"])
    yield Released(service, *found)
    assert bakewell("down", service.name).code == 0


@pytest.fixture
def restored(bakewell: Bakewell, released: Released, tmp_path: Path) -> Iterator[None]:
    """Whatever is spoiled meanwhile is as it was."""
    folders = [bakewell.home / "keys", bakewell.home / "artifacts" / released.service.name]
    for folder in folders:
        shutil.copytree(folder, tmp_path / "before" / folder.name)
    yield
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "before" / folder.name, folder)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("spoil", [flipped_bit, moved_signature, wrong_key])
def test_false_evidence_is_refused_by_verify_and_by_admission(
    bakewell: Bakewell, released: Released, spoil: Callable[[LayoutStore, Path, str, str], str]
) -> None:
    name, first, second = released.service.name, released.first, released.second
    reference = f"{name}@{first}"
    assert bakewell("verify", reference).code == 0
    folder = bakewell.home / "artifacts" / name
    word = spoil(LayoutStore(folder), folder, first, second)
    verified = bakewell("verify", reference)
    assert verified.code == REFUSED, verified.out
    assert word in verified.out
    back = bakewell("rollback", name, "staging")
    assert back.code == BAD_INPUT, back.err
    assert word in back.err
    groups = bakewell("status", name, "--json").json[0]["groups"]
    assert {one["digest"]: one["weight"] for one in groups}[second] == 100


def test_two_checkouts_of_hello_make_one_artifact_and_one_byte_makes_another(
    make_service: MakeService, tmp_path: Path
) -> None:
    def digest(service: Service, where: str) -> str:
        spec, folder = read_service(service.folder)
        store, cache = LayoutStore(tmp_path / where), tmp_path / f"cache of {where}"
        return bake(spec, folder, store, cache).artifact.digest

    one = make_service("hello")
    other = Service("hello", tmp_path / "quite" / "elsewhere" / "hello")
    shutil.copytree(one.folder, other.folder)
    before = digest(one, "one")
    assert before == digest(other, "two")
    page = other.folder / "hello.py"
    page.write_text(page.read_text().replace("Hello", "Hullo", 1))
    assert digest(other, "three") != before
