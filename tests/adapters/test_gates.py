"""Gates on real images in a real registry, by a database of known vulnerabilities: each is let pass or refused, and why."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from tasks.adapters.registry import RegistryStore
from tasks.admit.rules import judge_scan
from tasks.evidence import Ruling
from tasks.model import Admission
from tasks.policy import Policy
from tests.support.images import ImageKind, image
from tests.support.registry import Registry, running_registry
from tests.support.scanners import need_trivy, scanner, scanner_home

pytestmark = pytest.mark.engine
TODAY: Final = datetime.now(UTC).date()
ANY: Final = {"vulnerabilities": [{"severities": ["CRITICAL", "HIGH"], "fix": "any"}]}
NONE: Final = {"vulnerabilities": [{"severities": ["CRITICAL"], "fix": "none"}]}


def waiver(name: str, days: int = 1, **more: Any) -> dict[str, Any]:
    whole = {
        "id": name,
        "owner": "ann@example.org",
        "reason": "it is never called here",
        "expires": TODAY + timedelta(days=days),
        **more,
    }
    return {"waivers": [whole]}


FIXABLE, UNFIXED = "CVE-2099-1001", "CVE-2099-1002"
CASES: Final[list[tuple[ImageKind, dict[str, Any], str]]] = [
    (ImageKind.CLEAN, {}, ""),
    (ImageKind.CLEAN, ANY, ""),
    (ImageKind.FIXABLE_CRITICAL, {}, "vulnerabilities[0]"),
    (ImageKind.FIXABLE_CRITICAL, NONE, ""),
    (ImageKind.FIXABLE_CRITICAL, waiver(FIXABLE), ""),
    (ImageKind.FIXABLE_CRITICAL, waiver(FIXABLE, packages=["pkg:deb/debian/libssl3@*"]), ""),
    (ImageKind.FIXABLE_CRITICAL, waiver(FIXABLE, packages=["openssh*"]), "vulnerabilities[0]"),
    (ImageKind.FIXABLE_CRITICAL, waiver(FIXABLE, services=["other"]), "vulnerabilities[0]"),
    (ImageKind.FIXABLE_CRITICAL, waiver(FIXABLE, days=-1), "vulnerabilities[0]"),
    (ImageKind.UNFIXED_CRITICAL, {}, ""),
    (ImageKind.UNFIXED_CRITICAL, ANY, "vulnerabilities[0]"),
    (ImageKind.UNFIXED_CRITICAL, NONE, "vulnerabilities[0]"),
    (ImageKind.UNFIXED_CRITICAL, ANY | waiver(UNFIXED), ""),
    (ImageKind.WILL_NOT_FIX, {}, ""),
    (ImageKind.WILL_NOT_FIX, ANY, "vulnerabilities[0]"),
    (ImageKind.PYTHON_CRITICAL, {}, "vulnerabilities[0]"),
    (ImageKind.UNRECOGNISED, {}, "unrecognised"),
    (ImageKind.UNRECOGNISED, {"unrecognised": "allow"}, ""),
    (ImageKind.SECRET_IN_FILE, {}, "secrets"),
    (ImageKind.SECRET_IN_FILE, {"secrets": "allow"}, ""),
    (ImageKind.SECRET_IN_FILE, waiver("aws-access-key-id", packages=["/app/*"]), ""),
    (ImageKind.SECRET_IN_ENV, {}, "secrets"),
    (ImageKind.SECRET_IN_ENV, waiver("github-pat", days=-1), "secrets"),
    (ImageKind.LICENCE, {}, ""),
    (ImageKind.LICENCE, {"licences": {"refuse": ["AGPL-*"]}}, "licences.refuse"),
    (ImageKind.LICENCE, {"licences": {"refuse": ["AGPL-*"]}} | waiver("AGPL-3.0-only"), ""),
]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    need_trivy()
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def judged(
    registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[ImageKind, Any]]:
    """Each image scanned once, by its digest, from the registry."""
    with pytest.MonkeyPatch.context() as patch:
        home = scanner_home(tmp_path_factory.mktemp("home"), patch)
        store = RegistryStore(f"{registry.host}/gates/hello")
        kinds = {kind for kind, _, _ in CASES}
        yield {
            kind: scanner(home, store).scan(image(store, kind), 120).report
            for kind in sorted(kinds)
        }


@pytest.mark.parametrize(("kind", "policy", "demand"), CASES)
def test_a_real_image_is_let_pass_or_refused_for_the_right_reason(
    judged: dict[ImageKind, Any], kind: ImageKind, policy: dict[str, Any], demand: str
) -> None:
    now = datetime.now(UTC)
    ruling: Ruling = judge_scan(judged[kind], Policy.model_validate(policy), "hello", now)
    refusing = {one.demand for one in ruling.grounds} if demand else set()
    assert ruling.answer is (Admission.REFUSE if demand else Admission.ADMIT), ruling.reason
    assert refusing == ({demand} if demand else set())
    assert not policy.get("waivers") or demand or "waived by ann@example.org" in str(ruling.grounds)


def test_every_kind_of_image_is_tried() -> None:
    assert {kind for kind, _, _ in CASES} == set(ImageKind)


def test_the_secret_itself_is_nowhere_in_the_reason(
    judged: dict[ImageKind, Any],
) -> None:
    for kind in (ImageKind.SECRET_IN_FILE, ImageKind.SECRET_IN_ENV):
        ruling = judge_scan(judged[kind], Policy(), "hello", datetime.now(UTC))
        assert "AKIA" not in str(ruling)
        assert "ghp_" not in str(ruling)
