"""Signatures and attestations: real cosign accepts ours, we accept cosign's, and nothing false is believed by anybody."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks import oci
from tasks.adapters import cosign_bundle
from tasks.adapters.cosign import Cosign
from tasks.adapters.cosign_key import KeyRole, LocalKeys, sealed, unsealed
from tasks.adapters.layout import LayoutStore
from tasks.adapters.registry import RegistryStore
from tasks.bake.bakery import bake
from tasks.errors import VerificationFailedError
from tasks.evidence import Proof
from tasks.model import Artifact
from tasks.ports import ArtifactStore
from tests.support.baking import service
from tests.support.cosign_binaries import cosign
from tests.support.registry import Registry, running_registry

PREDICATE = "https://cosign.sigstore.dev/attestation/vuln/v1"
SAID = {"scanner": {"uri": "x", "version": "1", "db": {"uri": "", "version": "2"}, "result": {}}}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def keys(tmp_path: Path) -> LocalKeys:
    return LocalKeys(tmp_path / "keys")


Flip = Callable[[str], None]


@pytest.fixture(params=["layout", pytest.param("registry", marks=pytest.mark.engine)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ArtifactStore, Flip]:
    """A store, and how to change one bit of a blob on its disk."""
    if request.param == "layout":
        folder = tmp_path / "layout"
        return LayoutStore(folder), lambda d: flip(folder / "blobs/sha256" / oci.hex_of(d))
    running: Registry = request.getfixturevalue("registry")
    name = f"sign/n{abs(hash(request.node.name)) % 10**9}"
    return RegistryStore(f"{running.host}/{name}"), lambda d: flip(running.blob(d))


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(raw)


def baked(store: ArtifactStore, folder: Path, words: str = "hello") -> Artifact:
    source = folder / words
    source.mkdir(exist_ok=True)
    (source / "main.py").write_text(f"print({words!r})\n")
    return bake(service(), source, store, folder / "cache").artifact


def proofs(evidence: Cosign, artifact: Artifact) -> list[Proof]:
    return [one.proof for one in evidence.check_signatures(artifact)]


VALID, MISSING = [Proof.VALID, Proof.VALID], [Proof.MISSING, Proof.MISSING]


def test_what_was_signed_holds_and_signing_again_adds_nothing(
    place: tuple[ArtifactStore, Flip], keys: LocalKeys, tmp_path: Path
) -> None:
    store, _ = place
    evidence, artifact = Cosign(store, keys), baked(store, tmp_path)
    assert proofs(evidence, artifact) == MISSING
    for _ in range(2):
        evidence.sign(artifact)
        assert proofs(evidence, artifact) == VALID
    assert len(store.referrers(artifact.digest)) == 1
    tag = store.resolve(cosign_bundle.signature_tag(artifact.digest))
    assert tag
    assert len(json.loads(store.manifest(tag))["layers"]) == 1


def test_signing_that_was_interrupted_is_completed(
    place: tuple[ArtifactStore, Flip], keys: LocalKeys, tmp_path: Path
) -> None:
    store, _ = place
    evidence, artifact = Cosign(store, keys), baked(store, tmp_path)
    evidence._tag(artifact)
    assert proofs(evidence, artifact) == [Proof.VALID, Proof.MISSING]
    evidence.sign(artifact)
    assert proofs(evidence, artifact) == VALID


def test_another_key_is_told_apart_from_no_signature(
    place: tuple[ArtifactStore, Flip], keys: LocalKeys, tmp_path: Path
) -> None:
    store, _ = place
    artifact = baked(store, tmp_path)
    Cosign(store, LocalKeys(tmp_path / "others")).sign(artifact)
    evidence = Cosign(store, keys)
    assert proofs(evidence, artifact) == [Proof.WRONG_KEY, Proof.WRONG_KEY]
    evidence.sign(artifact)
    assert proofs(evidence, artifact) == VALID, "others may sign, too"


def test_a_signature_moved_to_another_artifact_is_told_as_moved(
    place: tuple[ArtifactStore, Flip], keys: LocalKeys, tmp_path: Path
) -> None:
    store, _ = place
    evidence, signed = Cosign(store, keys), baked(store, tmp_path)
    other = baked(store, tmp_path, "other")
    evidence.sign(signed)
    tag = store.resolve(cosign_bundle.signature_tag(signed.digest))
    assert tag
    store.put_manifest(store.manifest(tag), cosign_bundle.signature_tag(other.digest))
    manifest = json.loads(store.manifest(store.referrers(signed.digest)[0].digest))
    manifest["subject"] |= {"digest": other.digest, "size": len(store.manifest(other.digest))}
    store.put_manifest(oci.canonical(manifest))
    assert proofs(evidence, other) == [Proof.MOVED, Proof.MOVED]
    assert proofs(evidence, signed) == VALID


def test_one_flipped_bit_anywhere_in_a_signature_is_told_as_altered(
    place: tuple[ArtifactStore, Flip], keys: LocalKeys, tmp_path: Path
) -> None:
    store, change = place
    evidence, artifact = Cosign(store, keys), baked(store, tmp_path)
    evidence.sign(artifact)
    tag = store.resolve(cosign_bundle.signature_tag(artifact.digest))
    assert tag
    change(json.loads(store.manifest(tag))["layers"][0]["digest"])
    assert proofs(evidence, artifact) == [Proof.ALTERED, Proof.VALID]
    referrer = store.referrers(artifact.digest)[0].digest
    change(json.loads(store.manifest(referrer))["layers"][0]["digest"])
    assert proofs(evidence, artifact) == [Proof.ALTERED, Proof.ALTERED]


def test_a_rewritten_statement_under_an_old_signature_is_told_as_altered(
    place: tuple[ArtifactStore, Flip], keys: LocalKeys, tmp_path: Path
) -> None:
    """Every digest fits, as whoever may write to the store can see to; only the signature does not."""
    store, _ = place
    evidence, artifact = Cosign(store, keys), baked(store, tmp_path)
    evidence.attest(artifact, KeyRole.SCANNER, PREDICATE, SAID)
    referrer = store.referrers(artifact.digest)[0].digest
    manifest = json.loads(store.manifest(referrer))
    bundle = json.loads(store.blob(manifest["layers"][0]["digest"]))
    rewritten = cosign_bundle.statement(
        artifact.digest, PREDICATE, {"scanner": "never found a thing"}
    )
    bundle["dsseEnvelope"]["payload"] = cosign_bundle.b64(rewritten)
    raw = oci.canonical(bundle)
    store.put_blob(raw)
    other = Cosign(store, keys).attestations(artifact, KeyRole.SCANNER, PREDICATE)
    subject = manifest["subject"]
    store.put_manifest(cosign_bundle.bundle_manifest(raw, PREDICATE, subject))
    found = evidence.attestations(artifact, KeyRole.SCANNER, PREDICATE)
    assert [one.proof for one in other] == [Proof.VALID]
    assert sorted(one.proof for one in found) == [Proof.ALTERED, Proof.VALID]
    assert [one.predicate for one in found if one.predicate] == [SAID]


def test_a_statement_by_the_wrong_role_or_of_another_type_does_not_count(
    place: tuple[ArtifactStore, Flip], keys: LocalKeys, tmp_path: Path
) -> None:
    store, _ = place
    evidence, artifact = Cosign(store, keys), baked(store, tmp_path)
    evidence.attest(artifact, KeyRole.SCANNER, PREDICATE, SAID)
    evidence.attest(artifact, KeyRole.SCANNER, cosign_bundle.SIGNED, {})
    builder = evidence.check_attestation(artifact, KeyRole.BUILDER, PREDICATE)
    assert builder.proof is Proof.WRONG_KEY
    assert evidence.check_bundle(artifact).proof is Proof.WRONG_KEY
    assert evidence.check_tag(artifact).proof is Proof.MISSING


def test_garbage_where_a_signature_should_be_is_unreadable_not_missing(
    place: tuple[ArtifactStore, Flip], keys: LocalKeys, tmp_path: Path
) -> None:
    store, _ = place
    evidence, artifact = Cosign(store, keys), baked(store, tmp_path)
    evidence.sign(artifact)
    manifest = json.loads(store.manifest(store.referrers(artifact.digest)[0].digest))
    raw = b'{"mediaType": "garbage"}'
    store.put_blob(raw)
    artifact = baked(store, tmp_path, "second")
    subject = manifest["subject"] | {"digest": artifact.digest}
    subject["size"] = len(store.manifest(artifact.digest))
    store.put_manifest(cosign_bundle.bundle_manifest(raw, cosign_bundle.SIGNED, subject))
    assert evidence.check_bundle(artifact).proof is Proof.UNREADABLE


class _Forgetful(LayoutStore):
    """Says that it stored a manifest, and did not."""

    def put_manifest(self, raw: bytes, tag: str | None = None) -> str:
        return oci.digest_of(raw)


def test_what_cannot_be_read_back_was_not_signed(keys: LocalKeys, tmp_path: Path) -> None:
    store = LayoutStore(tmp_path / "layout")
    artifact = baked(store, tmp_path)
    with pytest.raises(VerificationFailedError, match="missing"):
        Cosign(_Forgetful(tmp_path / "layout"), keys).sign(artifact)


# ---- keys ----------------------------------------------------------------------------------------


def test_keys_are_made_once_and_nobody_else_may_read_them(tmp_path: Path) -> None:
    first, second = (LocalKeys(tmp_path / "keys", b"secret") for _ in range(2))
    signature = first.sign(KeyRole.BUILDER, b"message")
    assert second.verifies(KeyRole.BUILDER, signature, b"message")
    assert not second.verifies(KeyRole.SCANNER, signature, b"message")
    assert not second.verifies(KeyRole.BUILDER, signature, b"massage")
    assert (tmp_path / "keys" / "builder.key").stat().st_mode & 0o077 == 0
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0


MAKE = (
    "import sys; from pathlib import Path; from tasks.adapters.cosign_key import KeyRole, LocalKeys;"
    "sys.stdout.write(LocalKeys(Path(sys.argv[1])).public_pem(KeyRole.BUILDER).decode())"
)


def test_processes_that_need_the_first_key_at_once_get_one(tmp_path: Path) -> None:
    command = ["python", "-c", MAKE, str(tmp_path / "keys")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({one.communicate()[0] for one in running}) == 1


def test_a_lost_public_key_is_made_again_from_the_private_one(tmp_path: Path) -> None:
    first = LocalKeys(tmp_path).public_pem(KeyRole.BUILDER)
    (tmp_path / "builder.pub").unlink()
    assert LocalKeys(tmp_path).public_pem(KeyRole.BUILDER) == first


# ---- the real cosign -----------------------------------------------------------------------------


@pytest.fixture(params=[2, 3])
def program(request: pytest.FixtureRequest) -> tuple[int, Path]:
    return request.param, cosign(request.param)


def run(
    program: Path, *arguments: str | Path, password: str = ""
) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "COSIGN_PASSWORD": password, "HOME": "/nonexistent"}
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, env=environment, check=False
    )


def verify(
    program: Path, key: Path, reference: str, *more: str, command: str = "verify"
) -> "subprocess.CompletedProcess[str]":
    flags = ["--insecure-ignore-tlog=true", "--allow-http-registry"]
    return run(program, command, "--key", key, *flags, *more, reference)


@pytest.mark.engine
def test_cosign_accepts_ours_and_refuses_it_for_another_key_or_artifact(
    program: tuple[int, Path], registry: Registry, keys: LocalKeys, tmp_path: Path
) -> None:
    store = RegistryStore(f"{registry.host}/cosign/v{program[0]}")
    artifact, other = baked(store, tmp_path), baked(store, tmp_path, "other")
    Cosign(store, keys).sign(artifact)
    key = tmp_path / "keys" / "builder.pub"
    accepted = verify(program[1], key, artifact.reference)
    assert accepted.returncode == 0, accepted.stderr
    LocalKeys(tmp_path / "others").public_pem(KeyRole.BUILDER)
    wrong = tmp_path / "others" / "builder.pub"
    assert verify(program[1], wrong, artifact.reference).returncode != 0
    assert verify(program[1], key, other.reference).returncode != 0
    tag = store.resolve(cosign_bundle.signature_tag(artifact.digest))
    assert tag
    store.put_manifest(store.manifest(tag), cosign_bundle.signature_tag(other.digest))
    assert verify(program[1], key, other.reference).returncode != 0, "moved"


@pytest.mark.engine
def test_cosign_3_accepts_our_attestations(
    registry: Registry, keys: LocalKeys, tmp_path: Path
) -> None:
    store = RegistryStore(f"{registry.host}/cosign/attested")
    artifact, evidence = baked(store, tmp_path), Cosign(store, keys)
    evidence.attest(artifact, KeyRole.SCANNER, PREDICATE, SAID)
    key = tmp_path / "keys" / "scanner.pub"
    command = "verify-attestation"
    found = verify(cosign(3), key, artifact.reference, "--type", "vuln", command=command)
    assert found.returncode == 0, found.stderr
    key = tmp_path / "keys" / "builder.pub"
    LocalKeys(tmp_path / "keys").public_pem(KeyRole.BUILDER)
    assert verify(cosign(3), key, artifact.reference, "--type", "vuln", command=command).returncode


@pytest.mark.engine
def test_we_accept_what_cosign_signs_with_our_key(
    program: tuple[int, Path], registry: Registry, keys: LocalKeys, tmp_path: Path
) -> None:
    store = RegistryStore(f"{registry.host}/cosign/theirs{program[0]}")
    artifact = baked(store, tmp_path)
    keys.sign(KeyRole.BUILDER, b"make the key")
    flags = ["--tlog-upload=false", "--allow-http-registry", "-y"]
    if program[0] == 3:
        flags.append("--use-signing-config=false")
    key = tmp_path / "keys" / "builder.key"
    signed = run(program[1], "sign", "--key", key, *flags, artifact.reference)
    assert signed.returncode == 0, signed.stderr
    assert Proof.VALID in proofs(Cosign(store, keys), artifact)


@pytest.mark.engine
def test_we_read_a_key_that_cosign_made(program: tuple[int, Path], tmp_path: Path) -> None:
    prefix = tmp_path / "theirs"
    made = run(program[1], "generate-key-pair", "--output-key-prefix", prefix, password="pass word")
    assert made.returncode == 0, made.stderr
    path = tmp_path / "theirs.key"
    key = unsealed(path.read_bytes(), b"pass word", path)
    again = unsealed(sealed(key, b"other"), b"other", path)
    assert again.private_numbers() == key.private_numbers()
