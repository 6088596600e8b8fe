"""Real cosign 2 and 3 accept what we sign and attest, and we accept what they do with our keys."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.adapters import cosign_bundle
from tasks.adapters.cosign import Cosign
from tasks.adapters.cosign_key import sealed, unsealed
from tasks.adapters.keyring import Keyring
from tasks.adapters.registry import RegistryStore
from tasks.evidence import PREDICATES, ROLES, KeyRole, Kind, Proof, Statement
from tasks.model import Artifact
from tests.support.cosign_binaries import cosign
from tests.support.evidence import SCAN, baked, keyring
from tests.support.registry import Registry, running_registry

STATEMENTS = (
    Statement(Kind.PROVENANCE, {"buildDefinition": {}, "runDetails": {}}),
    Statement(Kind.CYCLONEDX, {"bomFormat": "CycloneDX", "specVersion": "1.6"}),
    Statement(Kind.SPDX, {"spdxVersion": "SPDX-2.3"}),
    SCAN,
    Statement(Kind.SMOKE_TEST, {"result": "PASSED"}),
    Statement(Kind.VERDICT, {"verdict": "PROMOTE"}),
)
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
    program: tuple[int, Path], registry: Registry, keys: Keyring, tmp_path: Path
) -> None:
    store = RegistryStore(f"{registry.host}/cosign/v{program[0]}")
    artifact, other = baked(store, tmp_path), baked(store, tmp_path, "other")
    Cosign(store, keys).sign(artifact)
    key = tmp_path / "keys" / "builder.pub"
    accepted = verify(program[1], key, artifact.reference)
    assert accepted.returncode == 0, accepted.stderr
    Keyring(tmp_path / "others").public_pem(KeyRole.BUILDER)
    wrong = tmp_path / "others" / "builder.pub"
    assert verify(program[1], wrong, artifact.reference).returncode != 0
    assert verify(program[1], key, other.reference).returncode != 0
    tag = store.resolve(cosign_bundle.signature_tag(artifact.digest))
    assert tag
    store.put_manifest(store.manifest(tag), cosign_bundle.signature_tag(other.digest))
    assert verify(program[1], key, other.reference).returncode != 0, "moved"


@pytest.mark.engine
def test_cosign_3_accepts_our_attestations(
    registry: Registry, keys: Keyring, tmp_path: Path
) -> None:
    store = RegistryStore(f"{registry.host}/cosign/attested")
    artifact, evidence = baked(store, tmp_path), Cosign(store, keys)
    evidence.attest(artifact, KeyRole.SCANNER, PREDICATE, SAID)
    key = tmp_path / "keys" / "scanner.pub"
    command = "verify-attestation"
    found = verify(cosign(3), key, artifact.reference, "--type", "vuln", command=command)
    assert found.returncode == 0, found.stderr
    key = tmp_path / "keys" / "builder.pub"
    Keyring(tmp_path / "keys").public_pem(KeyRole.BUILDER)
    assert verify(cosign(3), key, artifact.reference, "--type", "vuln", command=command).returncode


@pytest.mark.engine
def test_we_accept_what_cosign_signs_with_our_key(
    program: tuple[int, Path], registry: Registry, keys: Keyring, tmp_path: Path
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
