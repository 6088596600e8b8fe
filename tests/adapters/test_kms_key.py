"""Keys in AWS KMS sign what everybody verifies with the public half alone; whatever KMS says is told in our words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flows.command import run
from tasks import platforms
from tasks.adapters.cosign import Cosign
from tasks.adapters.kms_key import KmsKeys, _translated
from tasks.adapters.layout import LayoutStore
from tasks.adapters.registry import RegistryStore
from tasks.errors import (
    BakewellError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    TransientError,
)
from tasks.evidence import KeyRole, Kind, Proof, Statement
from tasks.sign import keys as changes
from tests.adapters.test_cosign import verify
from tests.support import engines
from tests.support.cosign_binaries import cosign
from tests.support.evidence import baked
from tests.support.kms import REGION, make_key, running_kms
from tests.support.registry import running_registry

BUILDER = KeyRole.BUILDER
LARGE = Statement(Kind.PROVENANCE, {"more than 4096 bytes": "x" * 10_000})


@pytest.fixture
def kms() -> Iterator[Any]:
    with running_kms() as client:
        yield client


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COSIGN_PASSWORD", raising=False)


def test_a_key_in_kms_signs_and_its_alias_is_only_asked_once(
    kms: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = make_key(kms)
    kms.create_alias(AliasName="alias/bakery", TargetKeyId=arn)
    assert run(["keys", "rotate", "builder", "--kms", "alias/bakery"]) == 0
    (line,) = changes.listed()
    assert (line.back_end, line.signs) == (f"kms://{arn}", True)
    store = LayoutStore(tmp_path / "layout")
    artifact = baked(store, tmp_path)
    kms.update_alias(AliasName="alias/bakery", TargetKeyId=make_key(kms))
    evidence = Cosign(store, platforms.keys())
    evidence.sign(artifact)
    evidence.attest(artifact, [LARGE])
    dossier = evidence.examine(artifact)
    assert {one.proof for one in dossier.signatures} == {Proof.VALID}
    assert {one.proof for one in dossier.attested} == {Proof.VALID}
    assert not list((tmp_path / "home").rglob("*.key"))


def test_what_kms_has_signed_is_verified_without_kms(tmp_path: Path) -> None:
    with running_kms() as kms:
        changes.rotate(BUILDER, kms=make_key(kms))
        signature = platforms.keys().sign(BUILDER, b"message")
    assert platforms.keys().judged(BUILDER, [signature], b"message").proof is Proof.VALID


def test_the_region_of_an_arn_counts_more_than_the_configured_one(
    kms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = make_key(kms)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert f":{REGION}:" in arn
    assert KmsKeys().public(arn)[0] == arn
    with pytest.raises(NotFoundError, match="region"):
        KmsKeys().public(arn.rpartition("/")[2])


@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        ("ECC_NIST_P384", "SIGN_VERIFY"),
        ("RSA_2048", "SIGN_VERIFY"),
        ("RSA_2048", "ENCRYPT_DECRYPT"),
    ],
)
def test_another_kind_of_key_is_refused_before_anything_changes(
    kms: Any, spec: str, usage: str
) -> None:
    with pytest.raises(InvalidInputError, match="ECC_NIST_P256"):
        changes.rotate(BUILDER, kms=make_key(kms, spec, usage))
    assert changes.listed() == []


def test_a_key_that_is_not_there_is_bad_input(kms: Any) -> None:
    assert run(["keys", "rotate", "builder", "--kms", "alias/nobody"]) == 2
    assert run(["keys", "rotate", "builder", "--kms", "kms://"]) == 2


def test_nobody_at_the_endpoint_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{engines.free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(TransientError, match="did not answer"):
        KmsKeys().sign(f"arn:aws:kms:{REGION}:123456789012:key/x", b"message")


def test_a_missing_region_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(RefusedError, match="boto3"):
        KmsKeys().public("alias/x")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ThrottlingException", TransientError),
        ("KMSInternalException", TransientError),
        ("NotFoundException", NotFoundError),
        ("AccessDeniedException", RefusedError),
        ("DisabledException", RefusedError),
        ("KMSInvalidStateException", RefusedError),
    ],
)
def test_what_kms_says_becomes_an_error_of_ours(code: str, expected: type[BakewellError]) -> None:
    with pytest.raises(expected, match=code), _translated("a signature"):
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "Sign")


@pytest.mark.engine
@pytest.mark.parametrize("major", [2, 3])
def test_cosign_accepts_what_kms_has_signed(kms: Any, tmp_path: Path, major: int) -> None:
    changes.rotate(BUILDER, kms=make_key(kms))
    public = tmp_path / "builder.pub"
    public.write_text(changes.export(BUILDER))
    with running_registry(tmp_path / "registry") as registry:
        store = RegistryStore(f"{registry.host}/kms/signed")
        artifact = baked(store, tmp_path)
        Cosign(store, platforms.keys()).sign(artifact)
        accepted = verify(cosign(major), public, artifact.reference)
        assert accepted.returncode == 0, accepted.stderr
