"""Keyless: a real public bundle counts for the identity that made it and nobody else, offline; signing goes as far as the token."""

import json
import sys
from pathlib import Path

import pytest

from flows.command import run
from tasks import oci, platforms
from tasks.adapters import cosign_bundle
from tasks.adapters.cosign import Cosign
from tasks.adapters.cosign_judging import Judge
from tasks.adapters.cosign_pieces import Piece
from tasks.adapters.layout import LayoutStore
from tasks.errors import RefusedError, TransientError
from tasks.evidence import Attested, KeyRole, Kind, Proof
from tasks.model import Artifact
from tasks.sign import keys as changes
from tests.support import engines
from tests.support.evidence import baked, hang

RECORDED = Path(__file__).parent.parent / "support" / "recorded" / "keyless.sigstore.json"
DIGEST = "sha256:9bb1add04b1b4e182be6b0b80931593f7a291eb49d69b4fd728a5d4cbcdc4bd3"
ISSUER = "https://token.actions.githubusercontent.com"
SUBJECT = "https://github.com/trailofbits/pypi-attestations/.github/workflows/release.yml@refs/tags/v0.0.19"
THERE = Artifact("theirs", DIGEST, "example.org/theirs")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("SIGSTORE_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)


def judged(raw: bytes, artifact: Artifact = THERE) -> Attested:
    piece = Piece(cosign_bundle.BUNDLE, oci.digest_of(raw), len(raw), {})
    return Judge(artifact, platforms.keys()).piece(piece, raw, "")


def trust(role: KeyRole = KeyRole.BUILDER, issuer: str = ISSUER, subject: str = SUBJECT) -> None:
    assert run(["keys", "trust", role.value, "--issuer", issuer, "--subject", subject]) == 0


def test_provenance_by_a_trusted_identity_counts_without_any_network() -> None:
    trust()
    found = judged(RECORDED.read_bytes())
    assert (found.kind, found.proof, found.key) == (
        Kind.PROVENANCE,
        Proof.VALID,
        "builder-identity-1",
    )
    assert "buildDefinition" in found.predicate


def test_it_does_not_count_while_nobody_is_trusted() -> None:
    assert judged(RECORDED.read_bytes()).proof is Proof.WRONG_KEY


@pytest.mark.parametrize(
    ("issuer", "subject"),
    [
        (ISSUER, SUBJECT.replace("v0.0.19", "v0.0.20")),
        (ISSUER, SUBJECT.replace("trailofbits", "somebody-else")),
        ("https://gitlab.com", SUBJECT),
    ],
)
def test_another_identity_or_issuer_does_not_count(issuer: str, subject: str) -> None:
    trust(issuer=issuer, subject=subject)
    assert judged(RECORDED.read_bytes()).proof is Proof.WRONG_KEY


def test_an_identity_of_another_role_does_not_count() -> None:
    trust(KeyRole.SCANNER)
    assert judged(RECORDED.read_bytes()).proof is Proof.WRONG_ROLE


def test_an_identity_that_was_distrusted_does_not_count() -> None:
    trust()
    changes.distrust("builder-identity-1")
    assert judged(RECORDED.read_bytes()).proof is Proof.KEY_NOT_VALID


def test_it_does_not_count_for_another_artifact() -> None:
    trust()
    other = Artifact("theirs", f"sha256:{'0' * 64}", "example.org/theirs")
    assert judged(RECORDED.read_bytes(), other).proof is Proof.MOVED


def test_a_changed_statement_signature_or_log_entry_is_told_as_altered() -> None:
    trust()
    for part in ("payload", "signature", "log"):
        bundle = json.loads(RECORDED.read_bytes())
        envelope, material = bundle["dsseEnvelope"], bundle["verificationMaterial"]
        if part == "payload":
            said = cosign_bundle.statement(DIGEST, "https://slsa.dev/provenance/v1", {"a": 1})
            envelope["payload"] = cosign_bundle.b64(said)
        elif part == "signature":
            raw = cosign_bundle.raw_bytes(envelope["signatures"][0]["sig"])
            envelope["signatures"][0]["sig"] = cosign_bundle.b64(raw[:-1] + bytes([raw[-1] ^ 1]))
        else:
            material["tlogEntries"][0]["integratedTime"] = "1700000000"
        assert judged(oci.canonical(bundle)).proof is Proof.ALTERED, part


def test_a_bundle_without_its_log_entry_is_unreadable(tmp_path: Path) -> None:
    trust()
    bundle = json.loads(RECORDED.read_bytes())
    bundle["verificationMaterial"]["tlogEntries"] = []
    store = LayoutStore(tmp_path / "layout")
    artifact = baked(store, tmp_path)
    hang(store, artifact, oci.canonical(bundle))
    (found,) = Cosign(store, platforms.keys()).examine(artifact).attested
    assert found.proof is Proof.UNREADABLE


def test_without_the_library_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust()
    monkeypatch.delitem(sys.modules, "tasks.adapters.keyless", raising=False)
    monkeypatch.setitem(sys.modules, "sigstore", None)
    store = LayoutStore(tmp_path / "layout")
    artifact = baked(store, tmp_path)
    hang(store, artifact, RECORDED.read_bytes())
    (found,) = Cosign(store, platforms.keys()).examine(artifact).attested
    assert (found.proof, "bakewell[keyless]" in found.found) == (Proof.UNREADABLE, True)


def test_signing_without_an_identity_token_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    assert run(["keys", "keyless", "builder"]) == 0
    store = LayoutStore(tmp_path / "layout")
    artifact = baked(store, tmp_path)
    with pytest.raises(RefusedError, match="identity token"):
        Cosign(store, platforms.keys()).sign(artifact)
    assert store.referrers(artifact.digest) == ()


def test_going_back_from_keyless_to_a_key_needs_one_rotation(tmp_path: Path) -> None:
    changes.sign_keyless(KeyRole.BUILDER)
    changes.rotate(KeyRole.BUILDER)
    store = LayoutStore(tmp_path / "layout")
    artifact = baked(store, tmp_path)
    evidence = Cosign(store, platforms.keys())
    evidence.sign(artifact)
    assert {one.proof for one in evidence.examine(artifact).signatures} == {Proof.VALID}


def test_a_sigstore_that_cannot_be_reached_is_transient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as signing goes without the public service: the token is there, the first request finds nobody."""
    changes.sign_keyless(KeyRole.BUILDER)
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", "a.b.c")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{engines.free_port()}")
    store = LayoutStore(tmp_path / "layout")
    artifact = baked(store, tmp_path)
    with pytest.raises(TransientError, match="did not answer"):
        Cosign(store, platforms.keys()).sign(artifact)
    assert store.referrers(artifact.digest) == ()
