"""Evidence that no honest store would hold: garbage, without end, not there. Each is told apart, and fills no memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks import oci
from tasks.adapters import cosign_bundle
from tasks.adapters.cosign import Cosign
from tasks.adapters.cosign_pieces import LISTED_AT_MOST
from tasks.adapters.layout import LayoutStore
from tasks.adapters.registry import RegistryStore
from tasks.errors import TooLargeError, TransientError, VerificationFailedError
from tasks.evidence import KeyRole, Proof
from tasks.ports import Descriptor
from tests.support.answering import answering
from tests.support.evidence import SCAN, baked, cheap_keys, hang, keyring


@pytest.fixture(autouse=True, scope="module")
def _keys_are_cheap() -> Iterator[None]:
    with cheap_keys():
        yield


class _Forgetful(LayoutStore):
    """Says that it stored a manifest, and did not."""

    def put_manifest(self, raw: bytes, tag: str | None = None) -> str:
        return oci.digest_of(raw)


def test_what_cannot_be_read_back_was_neither_signed_nor_attested(tmp_path: Path) -> None:
    artifact = baked(LayoutStore(tmp_path / "layout"), tmp_path)
    forgetful = Cosign(_Forgetful(tmp_path / "layout"), keyring(tmp_path / "keys"))
    with pytest.raises(VerificationFailedError, match="missing"):
        forgetful.sign(artifact)
    with pytest.raises(VerificationFailedError, match="scan"):
        forgetful.attest(artifact, [SCAN])


class _Silent(LayoutStore):
    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        raise TransientError("asked for referrers; nobody answered; try again")


def test_a_store_that_does_not_answer_is_not_taken_for_an_unsigned_artifact(tmp_path: Path) -> None:
    artifact = baked(LayoutStore(tmp_path / "layout"), tmp_path)
    silent = Cosign(_Silent(tmp_path / "layout"), keyring(tmp_path / "keys"))
    with pytest.raises(TransientError):
        silent.examine(artifact)
    with pytest.raises(TransientError):
        silent.present(artifact, ())


# ---- too much ------------------------------------------------------------------------------------


class _Endless(LayoutStore):
    """Sends more of a blob than any memory holds, and counts what was taken."""

    taken = 0

    def stream(self, digest: str) -> Iterator[bytes]:
        while True:
            self.taken += 1
            yield b"x" * 1024


def test_a_piece_that_is_larger_than_it_says_is_given_up_at_that_size(tmp_path: Path) -> None:
    artifact = baked(LayoutStore(tmp_path / "layout"), tmp_path)
    store = _Endless(tmp_path / "layout")
    hang(store, artifact, b"{}", size=10_000)
    evidence = Cosign(store, keyring(tmp_path / "keys"))
    (found,) = evidence.examine(artifact).attested
    assert found.proof is Proof.TOO_LARGE
    assert store.taken <= 11, "not much more was read than the descriptor says"


class _Crowded(LayoutStore):
    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        return (Descriptor(oci.MANIFEST, digest, 10),) * (LISTED_AT_MOST + 1)


def test_a_list_that_would_take_an_hour_to_read_is_not_read(tmp_path: Path) -> None:
    store = _Crowded(tmp_path / "layout")
    artifact = baked(store, tmp_path)
    dossier = Cosign(store, keyring(tmp_path / "keys")).examine(artifact)
    assert [one.proof for one in dossier.attested] == [Proof.TOO_LARGE]
    assert dossier.signatures[1].proof is Proof.TOO_LARGE


# ---- what cannot be read -------------------------------------------------------------------------

DEEP = 100_000
ENVELOPE = {"payloadType": cosign_bundle.IN_TOTO, "payload": "e30=", "signatures": []}
MATERIAL = {"publicKey": {"hint": ""}}
GARBAGE: dict[str, bytes] = {
    "empty": b"",
    "truncated": b'{"mediaType": "application/vnd.dev.sigstore.bun',
    "no object": b"[]",
    "nested": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "nested list": b"[" * DEEP + b"]" * DEEP,
    "not UTF-8": b"\xff\xfe\x00",
    "another object": b'{"mediaType": "garbage"}',
    "no statement": oci.canonical({"dsseEnvelope": ENVELOPE, "verificationMaterial": MATERIAL}),
    "signatures no list": oci.canonical(
        {"dsseEnvelope": {**ENVELOPE, "signatures": {}}, "verificationMaterial": MATERIAL}
    ),
    "a thousand signatures": oci.canonical(
        {
            "dsseEnvelope": {**ENVELOPE, "signatures": [{"sig": ""}] * 1000},
            "verificationMaterial": MATERIAL,
        }
    ),
    "no base64": oci.canonical(
        {"dsseEnvelope": {**ENVELOPE, "payload": "%"}, "verificationMaterial": MATERIAL}
    ),
    "key is a list": oci.canonical(
        {"dsseEnvelope": ENVELOPE, "verificationMaterial": {"publicKey": [1]}}
    ),
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE)
def test_garbage_where_a_bundle_should_be_is_unreadable_not_missing(
    tmp_path: Path, raw: bytes
) -> None:
    store = LayoutStore(tmp_path / "layout")
    artifact = baked(store, tmp_path)
    hang(store, artifact, raw)
    dossier = Cosign(store, keyring(tmp_path / "keys")).examine(artifact)
    assert [one.proof for one in dossier.attested] == [Proof.UNREADABLE]
    assert [one.proof for one in dossier.signatures] == [Proof.MISSING, Proof.UNREADABLE]


def test_a_payload_nested_without_end_under_a_good_signature_is_unreadable(tmp_path: Path) -> None:
    store, keys = LayoutStore(tmp_path / "layout"), keyring(tmp_path / "keys")
    artifact = baked(store, tmp_path)
    sign = lambda message: keys.sign(KeyRole.SCANNER, message)
    raw = cosign_bundle.bundle(GARBAGE["nested"], sign, keys.fingerprint(KeyRole.SCANNER))
    hang(store, artifact, raw)
    (found,) = Cosign(store, keys).examine(artifact).attested
    assert found.proof is Proof.UNREADABLE


LAYERS: dict[str, Any] = {
    "no list": {"a": 1},
    "numbers": [1, 2],
    "no digest": [{"mediaType": cosign_bundle.BUNDLE, "size": 2}],
    "a path for a digest": [
        {"mediaType": cosign_bundle.BUNDLE, "digest": "sha256:../../etc/passwd", "size": 2}
    ],
    "a size that is a text": [
        {"mediaType": cosign_bundle.BUNDLE, "digest": f"sha256:{'0' * 64}", "size": "2"}
    ],
}


class _Listing(LayoutStore):
    """Lists one manifest that no honest store would have taken."""

    raw = b""

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        return (Descriptor(oci.MANIFEST, oci.digest_of(self.raw), len(self.raw)),)

    def manifest(self, digest: str) -> bytes:
        return self.raw if digest == oci.digest_of(self.raw) else super().manifest(digest)


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_a_manifest_whose_layers_are_none_is_unreadable(tmp_path: Path, layers: Any) -> None:
    store = _Listing(tmp_path / "layout")
    artifact = baked(store, tmp_path)
    store.raw = oci.canonical({"schemaVersion": 2, "config": {}, "layers": layers})
    dossier = Cosign(store, keyring(tmp_path / "keys")).examine(artifact)
    assert [one.proof for one in dossier.attested] == [Proof.UNREADABLE]
    assert not Cosign(store, keyring(tmp_path / "keys")).present(artifact, ())


def test_a_manifest_nested_without_end_is_not_there_for_a_layout(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path / "layout")
    raw = b'{"schemaVersion":2,"layers":' + b"[" * DEEP + b"]" * DEEP + b"}"
    assert store.resolve(store.put_blob(raw).digest) is None


def test_a_registry_that_sends_a_manifest_without_end_is_given_up() -> None:
    """Even where the list says that it is small."""
    digest = f"sha256:{'0' * 64}"
    with answering() as server:
        server.parts = [b"x" * 1_000_000] * 50
        store = RegistryStore(f"{server.url.removeprefix('http://')}/endless")
        with pytest.raises(TooLargeError, match="a manifest may have"):
            store.manifest(digest)
        assert server.sent < 30, "most of it was never taken"
