"""What the command says of evidence that holds, and of evidence that somebody has been at; and that nothing false runs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import oci
from tasks.adapters import cosign_bundle
from tasks.adapters.layout import LayoutStore
from tasks.adapters.service_file import read_service
from tasks.bake.bakery import bake
from tests.e2e.conftest import Bakewell, MakeService, Service

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


@pytest.mark.parametrize("spoil", [flipped_bit, moved_signature, wrong_key])
def test_false_evidence_is_refused_by_verify_and_by_admission(
    bakewell: Bakewell,
    make_service: MakeService,
    tmp_path: Path,
    spoil: Callable[[LayoutStore, Path, str, str], str],
) -> None:
    service = make_service(f"e-{spoil.__name__.replace('_', '-')}")
    keys = bakewell.home / "keys"
    first = bakewell("release", service.folder, "--to", "staging", "--json").json["digest"]
    service.version(2)
    second = bakewell("release", service.folder, "--to", "staging", "--json").json["digest"]
    reference = f"{service.name}@{first}"
    assert bakewell("verify", reference).code == 0
    shutil.copytree(keys, tmp_path / "keys")
    folder = bakewell.home / "artifacts" / service.name
    word = spoil(LayoutStore(folder), folder, first, second)
    verified = bakewell("verify", reference)
    assert verified.code == REFUSED, verified.out
    assert word in verified.out
    back = bakewell("rollback", service.name, "staging")
    assert back.code == BAD_INPUT, back.err
    assert word in back.err
    groups = bakewell("status", service.name, "--json").json[0]["groups"]
    assert {one["digest"]: one["weight"] for one in groups}[second] == 100
    shutil.rmtree(keys, ignore_errors=True)
    shutil.copytree(tmp_path / "keys", keys)
    assert bakewell("down", service.name).code == 0


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
