"""What evidence is worth: everything that was tampered with is refused, each case by its own name."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tasks import oci
from tasks.adapters import cosign_bundle
from tasks.adapters.cosign import Cosign
from tasks.adapters.cosign_pieces import PIECE_BYTES_AT_MOST
from tasks.adapters.keyring import Keyring
from tasks.adapters.layout import LayoutStore
from tasks.adapters.registry import RegistryStore
from tasks.evidence import KeyRole, Kind, Proof, Statement
from tasks.model import Artifact
from tasks.ports import ArtifactStore
from tests.support.evidence import (
    NOW,
    SCAN,
    Clock,
    Flip,
    baked,
    bundle_of,
    cheap_keys,
    flip,
    hang,
    keyring,
    written,
)
from tests.support.registry import Registry, running_registry

BOTH_VALID, BOTH_MISSING = [Proof.VALID, Proof.VALID], [Proof.MISSING, Proof.MISSING]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(autouse=True, scope="module")
def _keys_are_cheap() -> Iterator[None]:
    with cheap_keys():
        yield


@dataclass
class Place:
    """An artifact in a store, our evidence of it, and how to break a blob on the store's disk or lose it."""

    store: ArtifactStore
    clock: Clock
    keys: Keyring
    artifact: Artifact
    flip: Flip
    lose: Flip
    folder: Path

    @property
    def evidence(self) -> Cosign:
        return Cosign(self.store, self.keys)

    def signatures(self, artifact: Artifact | None = None) -> list[Proof]:
        return [one.proof for one in self.evidence.examine(artifact or self.artifact).signatures]

    def scans(self) -> list[Proof]:
        return sorted(one.proof for one in self.evidence.examine(self.artifact).of(Kind.SCAN))


@pytest.fixture(params=["layout", pytest.param("registry", marks=pytest.mark.engine)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    clock = Clock()
    keys = keyring(tmp_path / "keys", clock)
    for role in KeyRole:
        keys.sign(role, b"make the key")
    if request.param == "layout":
        folder = tmp_path / "layout"
        store: ArtifactStore = LayoutStore(folder)

        def path(digest: str) -> Path:
            return folder / "blobs/sha256" / oci.hex_of(digest)

        def lose(digest: str) -> None:
            path(digest).unlink()

    else:
        running: Registry = request.getfixturevalue("registry")
        name = f"sign/n{abs(hash(request.node.name)) % 10**9}"
        store = RegistryStore(f"{running.host}/{name}")
        links = running.folder / f"data/docker/registry/v2/repositories/{name}"

        def lose(digest: str) -> None:
            for link in links.rglob(f"*/{oci.hex_of(digest)}/link"):
                link.unlink()

        path = running.blob
    artifact = baked(store, tmp_path)
    return Place(store, clock, keys, artifact, lambda d: flip(path(d)), lose, tmp_path)


def only_referrer(place: Place) -> str:
    (found,) = place.store.referrers(place.artifact.digest)
    return found.digest


def signature_tag(place: Place) -> str:
    tag = place.store.resolve(cosign_bundle.signature_tag(place.artifact.digest))
    assert tag
    return tag


# ---- what holds ----------------------------------------------------------------------------------


def test_what_was_signed_holds_and_signing_again_adds_nothing(place: Place) -> None:
    assert place.signatures() == BOTH_MISSING
    for _ in range(2):
        place.evidence.sign(place.artifact)
        assert place.signatures() == BOTH_VALID
    assert len(place.store.referrers(place.artifact.digest)) == 1
    assert len(json.loads(place.store.manifest(signature_tag(place)))["layers"]) == 1


def test_statements_of_all_roles_are_written_once_and_told_apart(place: Place) -> None:
    said = [
        Statement(Kind.PROVENANCE, {"runDetails": {}}),
        Statement(Kind.CYCLONEDX, {"bomFormat": "CycloneDX"}),
        Statement(Kind.SPDX, {"spdxVersion": "SPDX-2.3"}),
        SCAN,
        Statement(Kind.SMOKE_TEST, {"result": "PASSED"}),
        Statement(Kind.VERDICT, {"verdict": "PROMOTE", "environment": "staging"}),
        Statement(Kind.VERDICT, {"verdict": "PROMOTE", "environment": "production"}),
    ]
    place.evidence.attest(place.artifact, said)
    place.evidence.attest(place.artifact, said[3:])
    dossier = place.evidence.examine(place.artifact)
    assert len(dossier.attested) == len(said)
    assert {one.proof for one in dossier.attested} == {Proof.VALID}
    assert dossier.valid(Kind.SCAN) == (SCAN.predicate,)
    assert len(dossier.valid(Kind.VERDICT)) == 2
    assert {(one.kind, one.key) for one in dossier.attested} >= {
        (Kind.PROVENANCE, "builder"),
        (Kind.SPDX, "scanner"),
        (Kind.VERDICT, "releaser"),
    }
    assert place.signatures() == BOTH_MISSING, "a statement by the builder is no signature"


def test_signing_that_was_interrupted_is_completed(place: Place) -> None:
    place.evidence._tag(place.artifact)
    assert place.signatures() == [Proof.VALID, Proof.MISSING]
    place.evidence.sign(place.artifact)
    assert place.signatures() == BOTH_VALID


# ---- whose it is ---------------------------------------------------------------------------------


def test_a_key_that_nobody_trusts_is_told_apart_from_no_signature(place: Place) -> None:
    others = keyring(place.folder / "others")
    Cosign(place.store, others).sign(place.artifact)
    assert place.signatures() == [Proof.WRONG_KEY, Proof.WRONG_KEY]
    place.evidence.sign(place.artifact)
    assert place.signatures() == BOTH_VALID, "others may sign, too"


@pytest.mark.parametrize("role", [KeyRole.BUILDER, KeyRole.RELEASER])
def test_a_scan_that_another_role_of_ours_has_signed_does_not_count(
    place: Place, role: KeyRole
) -> None:
    raw = written(place.keys, role, place.artifact.digest, Kind.SCAN, SCAN.predicate)
    hang(place.store, place.artifact, raw)
    assert place.scans() == [Proof.WRONG_ROLE]
    (found,) = place.evidence.examine(place.artifact).of(Kind.SCAN)
    assert (found.key, found.predicate) == (role.value, {})


def test_a_signature_by_the_scanner_does_not_count(place: Place) -> None:
    raw = written(place.keys, KeyRole.SCANNER, place.artifact.digest, Kind.SIGNATURE, {})
    hang(place.store, place.artifact, raw)
    assert place.signatures() == [Proof.MISSING, Proof.WRONG_ROLE]


def test_another_predicate_type_under_the_right_key_is_no_scan(place: Place) -> None:
    raw = written(place.keys, KeyRole.SCANNER, place.artifact.digest, Kind.SPDX, SCAN.predicate)
    hang(place.store, place.artifact, raw)
    assert place.scans() == []


@pytest.mark.parametrize("days", [-2, 2])
def test_a_key_counts_from_its_first_day_until_its_last(place: Place, days: int) -> None:
    with place.keys.changing() as change:
        for key in change.trusted.keys:
            limits = {"not_before": NOW - timedelta(days=1), "not_after": NOW + timedelta(days=1)}
            change.put(key.model_copy(update=limits))
    place.evidence.sign(place.artifact)
    place.evidence.attest(place.artifact, [SCAN])
    place.clock.now = NOW + timedelta(days=days)
    assert place.signatures() == [Proof.KEY_NOT_VALID, Proof.KEY_NOT_VALID]
    assert place.scans() == [Proof.KEY_NOT_VALID]
    place.clock.now = NOW
    assert place.signatures() == BOTH_VALID


# ---- what it is about ----------------------------------------------------------------------------


def test_a_signature_moved_to_another_artifact_is_told_as_moved(place: Place) -> None:
    other = baked(place.store, place.folder, "other")
    place.evidence.sign(place.artifact)
    manifest = place.store.manifest(signature_tag(place))
    place.store.put_manifest(manifest, cosign_bundle.signature_tag(other.digest))
    bundle = place.store.blob(bundle_of(place.store, only_referrer(place)))
    hang(place.store, other, bundle)
    assert place.signatures(other) == [Proof.MOVED, Proof.MOVED]
    assert place.signatures() == BOTH_VALID


def test_a_statement_about_two_artifacts_at_once_is_not_believed_of_either(place: Place) -> None:
    said = json.loads(cosign_bundle.statement(place.artifact.digest, SCAN.predicate_type, {}))
    said["subject"].append({"digest": {"sha256": "0" * 64}})
    payload = oci.canonical(said)
    sign = lambda message: place.keys.sign(KeyRole.SCANNER, message)
    raw = cosign_bundle.bundle(payload, sign, place.keys.fingerprint(KeyRole.SCANNER))
    hang(place.store, place.artifact, raw)
    assert place.scans() == [Proof.MOVED]


# ---- what was changed ----------------------------------------------------------------------------


def test_one_flipped_bit_anywhere_in_a_signature_is_told_as_altered(place: Place) -> None:
    place.evidence.sign(place.artifact)
    place.flip(bundle_of(place.store, signature_tag(place)))
    assert place.signatures() == [Proof.ALTERED, Proof.VALID]
    place.flip(bundle_of(place.store, only_referrer(place)))
    assert place.signatures() == [Proof.ALTERED, Proof.ALTERED]


def test_one_flipped_bit_in_a_referring_manifest_is_told_as_altered(place: Place) -> None:
    place.evidence.sign(place.artifact)
    place.flip(only_referrer(place))
    assert place.signatures() == [Proof.VALID, Proof.ALTERED]


def test_a_rewritten_statement_under_an_old_signature_is_told_as_altered(place: Place) -> None:
    """Every digest fits, as whoever may write to the store can see to; only the signature does not."""
    place.evidence.attest(place.artifact, [SCAN])
    bundle = json.loads(place.store.blob(bundle_of(place.store, only_referrer(place))))
    harmless = {"scanner": "never found a thing"}
    payload = cosign_bundle.statement(place.artifact.digest, SCAN.predicate_type, harmless)
    bundle["dsseEnvelope"]["payload"] = cosign_bundle.b64(payload)
    hang(place.store, place.artifact, oci.canonical(bundle))
    assert place.scans() == sorted([Proof.ALTERED, Proof.VALID])
    assert place.evidence.examine(place.artifact).valid(Kind.SCAN) == (SCAN.predicate,)


# ---- what is not there ---------------------------------------------------------------------------


def test_a_manifest_that_is_listed_and_gone_is_incomplete(place: Place) -> None:
    place.evidence.sign(place.artifact)
    place.lose(only_referrer(place))
    assert place.signatures() == [Proof.VALID, Proof.INCOMPLETE]


def test_a_bundle_or_payload_that_is_named_and_gone_is_incomplete(place: Place) -> None:
    place.evidence.sign(place.artifact)
    place.lose(bundle_of(place.store, only_referrer(place)))
    assert place.signatures() == [Proof.VALID, Proof.INCOMPLETE]
    place.lose(bundle_of(place.store, signature_tag(place)))
    assert place.signatures() == [Proof.INCOMPLETE, Proof.INCOMPLETE]


def test_signing_again_mends_a_tag_whose_payload_or_manifest_is_gone(place: Place) -> None:
    place.evidence.sign(place.artifact)
    place.lose(bundle_of(place.store, signature_tag(place)))
    assert place.signatures() == [Proof.INCOMPLETE, Proof.VALID]
    place.evidence.sign(place.artifact)
    assert place.signatures() == BOTH_VALID
    empty = place.store.put_blob(b"{}").digest
    config = {"mediaType": oci.CONFIG, "digest": empty, "size": 2}
    other = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config, "layers": []}
    place.store.put_manifest(
        oci.canonical(other), cosign_bundle.signature_tag(place.artifact.digest)
    )
    assert place.signatures() == [Proof.MISSING, Proof.VALID]
    place.evidence.sign(place.artifact)
    assert place.signatures() == BOTH_VALID


def test_signing_beside_others_keeps_their_signatures(place: Place) -> None:
    others = keyring(place.folder / "others")
    Cosign(place.store, others).sign(place.artifact)
    place.evidence.sign(place.artifact)
    assert len(json.loads(place.store.manifest(signature_tag(place)))["layers"]) == 2
    theirs = Cosign(place.store, others).examine(place.artifact).signatures
    assert [one.proof for one in theirs] == BOTH_VALID


# ---- what is too large ---------------------------------------------------------------------------


def test_a_piece_that_says_it_is_huge_is_not_fetched(place: Place) -> None:
    hang(place.store, place.artifact, b"{}", size=PIECE_BYTES_AT_MOST + 1)
    assert place.signatures() == [Proof.MISSING, Proof.TOO_LARGE]


@pytest.mark.parametrize("more", [-1, 1])
def test_a_size_that_lies_by_one_byte_is_found(place: Place, more: int) -> None:
    raw = written(place.keys, KeyRole.BUILDER, place.artifact.digest, Kind.SIGNATURE, {})
    hang(place.store, place.artifact, raw, size=len(raw) + more)
    expected = Proof.ALTERED if more > 0 else Proof.TOO_LARGE
    assert place.signatures() == [Proof.MISSING, expected]


# ---- still the same ------------------------------------------------------------------------------


def test_the_same_pieces_are_present_until_one_is_added_lost_or_replaced(place: Place) -> None:
    evidence, artifact = place.evidence, place.artifact
    assert evidence.present(artifact, evidence.examine(artifact).pieces)
    evidence.sign(artifact)
    evidence.attest(artifact, [SCAN])
    pieces = evidence.examine(artifact).pieces
    assert len(pieces) == 6
    assert evidence.present(artifact, pieces)
    assert not evidence.present(artifact, pieces[1:])
    assert not evidence.present(artifact, [*pieces, f"sha256:{'0' * 64}"])
    evidence.attest(artifact, [Statement(Kind.VERDICT, {"verdict": "ROLL_BACK"})])
    assert not evidence.present(artifact, pieces), "there is something new to know"
    pieces = evidence.examine(artifact).pieces
    Cosign(place.store, keyring(place.folder / "others"))._tag(artifact)
    assert not evidence.present(artifact, pieces), "the tag has moved"


def test_a_lost_blob_or_manifest_is_no_longer_present(place: Place) -> None:
    evidence, artifact = place.evidence, place.artifact
    evidence.sign(artifact)
    pieces = evidence.examine(artifact).pieces
    referrer = only_referrer(place)
    place.lose(bundle_of(place.store, referrer))
    assert not evidence.present(artifact, pieces)
    evidence.sign(artifact)
    pieces = evidence.examine(artifact).pieces
    place.lose(referrer)
    assert not evidence.present(artifact, pieces)


def test_a_referrer_that_is_no_longer_listed_is_not_present_though_its_bytes_are(
    place: Place,
) -> None:
    evidence, artifact = place.evidence, place.artifact
    evidence.sign(artifact)
    pieces = evidence.examine(artifact).pieces
    empty = oci.canonical({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": []})
    place.store.put_manifest(empty, oci.referrers_tag(artifact.digest))
    assert not evidence.present(artifact, pieces)
