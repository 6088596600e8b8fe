"""Real cosign 2 and 3 accept what we sign and attest, and we accept what they do with our keys."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sigstore_models.bundle.v1 import Bundle

from tasks import oci
from tasks.adapters import cosign_bundle
from tasks.adapters.cosign import Cosign
from tasks.adapters.cosign_key import sealed, unsealed
from tasks.adapters.keyring import Keyring
from tasks.adapters.registry import RegistryStore
from tasks.evidence import (
    PREDICATES,
    ROLES,
    Finding,
    FindingKind,
    KeyRole,
    Kind,
    Proof,
    ScanNotDone,
    ScanReport,
    Severity,
    Statement,
)
from tasks.model import Artifact
from tasks.service import Smoke
from tasks.sign.provenance import provenance
from tasks.sign.rules import scan_predicate
from tasks.sign.statements import smoke_statement, verdict_statement
from tests.support.baking import service
from tests.support.cosign_binaries import cosign
from tests.support.evidence import baked, keyring, written
from tests.support.provenances import AT, BASE, GIVEN, MAKING, MATERIALS, SOURCE, TESTED
from tests.support.registry import Registry, running_registry

SCANNED = ScanReport(
    f"sha256:{'a' * 64}",
    "trivy 0.76.0",
    AT,
    AT,
    3,
    (Finding(FindingKind.VULNERABILITY, "CVE-1", Severity.HIGH, "zlib", "1", "2", "bad", AT),),
)
STATEMENTS = (
    provenance(service(base=BASE), SOURCE, MATERIALS, MAKING),
    Statement(Kind.CYCLONEDX, {"bomFormat": "CycloneDX", "specVersion": "1.6"}),
    Statement(Kind.SPDX, {"spdxVersion": "SPDX-2.3"}),
    Statement(Kind.SCAN, scan_predicate(SCANNED)),
    smoke_statement(TESTED, Smoke()),
    verdict_statement(GIVEN),
)
NOT_DONE = Statement(Kind.SCAN, scan_predicate(ScanNotDone(SCANNED.digest, "no database", AT)))
TYPES = {
    Kind.PROVENANCE: "slsaprovenance1",
    Kind.CYCLONEDX: "cyclonedx",
    Kind.SPDX: "spdxjson",
    Kind.SCAN: "vuln",
    Kind.SMOKE_TEST: PREDICATES[Kind.SMOKE_TEST],
    Kind.VERDICT: PREDICATES[Kind.VERDICT],
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """All three pairs, in files that cosign reads."""
    made = keyring(tmp_path_factory.mktemp("home") / "keys")
    for role in KeyRole:
        made.sign(role, b"make the key")
    return made


def file_of(keys: Keyring, role: KeyRole, ending: str = "pub") -> Path:
    return keys.files.folder / f"{role.value}.{ending}"


def proofs(evidence: Cosign, artifact: Artifact) -> list[Proof]:
    return [one.proof for one in evidence.examine(artifact).signatures]


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
def test_cosign_accepts_our_signature_and_refuses_it_for_another_key_or_artifact(
    program: tuple[int, Path], registry: Registry, keys: Keyring, tmp_path: Path
) -> None:
    store = RegistryStore(f"{registry.host}/cosign/v{program[0]}")
    artifact, other = baked(store, tmp_path), baked(store, tmp_path, "other")
    Cosign(store, keys).sign(artifact)
    key = file_of(keys, KeyRole.BUILDER)
    accepted = verify(program[1], key, artifact.reference)
    assert accepted.returncode == 0, accepted.stderr
    wrong = file_of(keys, KeyRole.SCANNER)
    assert verify(program[1], wrong, artifact.reference).returncode != 0
    assert verify(program[1], key, other.reference).returncode != 0
    tag = store.resolve(cosign_bundle.signature_tag(artifact.digest))
    assert tag
    store.put_manifest(store.manifest(tag), cosign_bundle.signature_tag(other.digest))
    assert verify(program[1], key, other.reference).returncode != 0, "moved"


@pytest.mark.engine
def test_cosign_accepts_every_kind_of_our_attestations_by_the_key_of_its_role(
    program: tuple[int, Path], registry: Registry, keys: Keyring, tmp_path: Path
) -> None:
    store = RegistryStore(f"{registry.host}/cosign/attested{program[0]}")
    artifact = baked(store, tmp_path)
    Cosign(store, keys).attest(artifact, STATEMENTS)
    # cosign 2 would fetch Sigstore's trusted root even where a key decides; an empty one keeps it offline.
    root = tmp_path / "root.json"
    root.write_text('{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
    new = ["--new-bundle-format", "--trusted-root", str(root)] if program[0] == 2 else []
    for said in STATEMENTS:
        flags = [*new, "--type", TYPES[said.kind]]
        for role in KeyRole:
            key = file_of(keys, role)
            found = verify(
                program[1], key, artifact.reference, *flags, command="verify-attestation"
            )
            accepted = found.returncode == 0
            assert accepted == (role is ROLES[said.kind]), (said.kind, role, found.stderr)


def test_our_bundles_are_bundles_for_sigstores_own_types(keys: Keyring) -> None:
    """Read by the models that are generated from Sigstore's specifications; what these do not know they refuse."""
    for said in (*STATEMENTS, Statement(Kind.SIGNATURE, {})):
        raw = written(keys, said.role, SCANNED.digest, said.kind, said.predicate)
        read = Bundle.from_json(raw)
        assert read.dsse_envelope is not None
        assert read.dsse_envelope.payload_type == cosign_bundle.IN_TOTO
        assert read.verification_material.public_key is not None
        known = json.loads(read.to_json())
        assert (
            known["verificationMaterial"]["publicKey"]
            == json.loads(raw)["verificationMaterial"]["publicKey"]
        )


@pytest.mark.engine
def test_the_tree_that_cosign_3_draws_names_everything_we_attested(
    registry: Registry, keys: Keyring, tmp_path: Path
) -> None:
    store = RegistryStore(f"{registry.host}/cosign/tree")
    artifact = baked(store, tmp_path)
    Cosign(store, keys).sign(artifact)
    Cosign(store, keys).attest(artifact, STATEMENTS)
    drawn = run(cosign(3), "tree", "--allow-http-registry", artifact.reference)
    assert drawn.returncode == 0, drawn.stderr
    assert {one for one in PREDICATES.values() if one not in drawn.stdout} == set()


@pytest.mark.engine
def test_the_tree_that_cosign_2_draws_has_the_signature_where_it_looks(
    registry: Registry, keys: Keyring, tmp_path: Path
) -> None:
    store = RegistryStore(f"{registry.host}/cosign/tree-2")
    artifact = baked(store, tmp_path)
    Cosign(store, keys).sign(artifact)
    drawn = run(cosign(2), "tree", "--allow-http-registry", artifact.reference)
    assert drawn.returncode == 0, drawn.stderr
    assert cosign_bundle.signature_tag(artifact.digest) in drawn.stdout


# ---- theirs --------------------------------------------------------------------------------------

UNLOGGED = ["--tlog-upload=false", "--allow-http-registry", "-y"]
FORMATS: dict[str, tuple[int, list[str]]] = {
    "cosign 2": (2, UNLOGGED),
    "cosign 3": (3, [*UNLOGGED, "--use-signing-config=false"]),
    "cosign 3, old format": (
        3,
        [*UNLOGGED, "--use-signing-config=false", "--new-bundle-format=false"],
    ),
}


def in_time(value: Any) -> Any:
    """The same with every time as a time: cosign spells `.250000+00:00` as `.25Z`."""
    if isinstance(value, dict):
        return {name: in_time(one) for name, one in value.items()}
    if isinstance(value, list):
        return [in_time(one) for one in value]
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return value


@pytest.fixture(params=FORMATS)
def theirs(request: pytest.FixtureRequest, registry: Registry) -> tuple[Path, list[str], str]:
    """A cosign, its flags for one of its formats, and a repository of their own."""
    major, flags = FORMATS[request.param]
    place = request.param.replace(" ", "-").replace(",", "")
    return cosign(major), flags, f"{registry.host}/theirs/{place}/n{os.urandom(4).hex()}"


@pytest.mark.engine
def test_we_accept_what_cosign_signs_with_the_builders_key_and_no_other(
    theirs: tuple[Path, list[str], str], keys: Keyring, tmp_path: Path
) -> None:
    program, flags, repository = theirs
    store = RegistryStore(repository)
    evidence, artifact = Cosign(store, keys), baked(store, tmp_path)
    by_scanner = baked(store, tmp_path, "by the scanner")
    for role, one in ((KeyRole.BUILDER, artifact), (KeyRole.SCANNER, by_scanner)):
        signed = run(program, "sign", "--key", file_of(keys, role, "key"), *flags, one.reference)
        assert signed.returncode == 0, signed.stderr
    assert Proof.VALID in proofs(evidence, artifact)
    assert set(proofs(evidence, by_scanner)) == {Proof.MISSING, Proof.WRONG_ROLE}


@pytest.mark.engine
def test_we_accept_every_kind_that_cosign_attests_with_the_key_of_its_role(
    theirs: tuple[Path, list[str], str], keys: Keyring, tmp_path: Path
) -> None:
    program, flags, repository = theirs
    store = RegistryStore(repository)
    artifact = baked(store, tmp_path)
    for said in (*STATEMENTS, NOT_DONE):
        file = tmp_path / "predicate.json"
        file.write_text(json.dumps(said.predicate))
        about = ["--predicate", str(file), "--type", TYPES[said.kind]]
        key = file_of(keys, said.role, "key")
        made = run(program, "attest", "--key", key, *about, *flags, artifact.reference)
        assert made.returncode == 0, made.stderr
    evidence = Cosign(store, keys)
    dossier = evidence.examine(artifact)
    assert {one.proof for one in dossier.attested} == {Proof.VALID}
    assert {one.kind for one in dossier.attested} == set(TYPES)
    assert evidence.present(artifact, dossier.pieces)
    # cosign reads predicates into types of its own and writes what these hold: nothing of ours may be lost on that way.
    for said in (*STATEMENTS, NOT_DONE):
        known = [as_cosign_holds_it(one) for one in dossier.valid(said.kind)]
        assert as_cosign_holds_it(said.predicate) in known, said.kind


def as_cosign_holds_it(predicate: Mapping[str, Any]) -> Any:
    """With times as times; without the one field that cosign's specification has and its type has not; and with SLSA's
    invocationId as cosign 2 spells it (in-toto-golang has it as invocationID)."""
    found = in_time(json.loads(oci.canonical(predicate)))
    metadata = found.get("runDetails", {}).get("metadata", {})
    if "invocationID" in metadata:
        metadata["invocationId"] = metadata.pop("invocationID")
    found.get("scanner", {}).get("db", {}).pop("lastUpdate", None)
    return found


@pytest.mark.engine
def test_we_read_a_key_that_cosign_made(program: tuple[int, Path], tmp_path: Path) -> None:
    prefix = tmp_path / "theirs"
    made = run(program[1], "generate-key-pair", "--output-key-prefix", prefix, password="pass word")
    assert made.returncode == 0, made.stderr
    path = tmp_path / "theirs.key"
    key = unsealed(path.read_bytes(), b"pass word", path)
    again = unsealed(sealed(key, b"other"), b"other", path)
    assert again.private_numbers() == key.private_numbers()
