"""The chain and the difference as people see them: whole in 80 columns, without a way to forge a line, and in ASCII."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from flows.differences import (
    Difference,
    FileChange,
    PackageChange,
    SettingChange,
    Unknown,
    VulnerabilityChanges,
)
from flows.views_evidence import chain_json, chain_tree, difference, difference_json
from tasks.contents import Member, MemberKind
from tasks.evidence import Package, Severity
from tasks.model import Artifact
from tests.support.chains import ARTIFACT, CHAIN, ORIGIN, scanned, vulnerability
from tests.support.pages import HOSTILE

OTHER = Artifact("hello", "sha256:" + "c" * 64, "registry.example/hello")


def shown(what: RenderableType, width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace")
    Console(file=file, width=width, highlight=False, emoji=False, markup=False).print(what)
    file.flush()
    return raw.getvalue().decode(encoding)


def member(path: str, content: str) -> Member:
    return Member(path, MemberKind.FILE, 0o644, 1234, f"sha256:{content * 64}")


DIFFERENCE = Difference(
    ARTIFACT,
    OTHER,
    (PackageChange("pkg:pypi/new", (), ("1",)), PackageChange("pkg:pypi/up", ("1",), ("2",))),
    VulnerabilityChanges(
        (vulnerability(1, Severity.HIGH),),
        (vulnerability(2, Severity.LOW, fixed=""),),
        ("A was scanned with an older database",),
    ),
    (
        FileChange("/app/hello.py", member("/app/hello.py", "1"), member("/app/hello.py", "2")),
        FileChange("/app/gone", member("/app/gone", "1"), None),
        FileChange("/app/link", None, Member("/app/link", MemberKind.LINK, target="hello.py")),
    ),
    (SettingChange("environment PORT", "80", "8080"), SettingChange("user", None, "")),
)


def test_a_tree_has_a_line_for_each_link_and_fits_in_80_columns() -> None:
    told = shown(chain_tree(CHAIN, full=False))
    assert max(map(len, told.splitlines())) <= 80
    assert told.startswith(f"hello {ARTIFACT.digest}")
    for name in ("source", "base", "packages", "findings", "signatures", "verdicts", "runs in"):
        assert f"✓ {name}" in told
    assert "itsdangerous" not in told


def test_all_of_it_is_told_on_demand() -> None:
    told = shown(chain_tree(CHAIN, full=True), 200)
    for words in ("itsdangerous 2.2.0 (BSD-3-Clause)", "libssl3 3.0", "smoke-test: valid"):
        assert words in told


def test_what_is_wrong_is_marked() -> None:
    told = shown(chain_tree(scanned(vulnerability(1, Severity.CRITICAL)), full=False))
    assert "✗ findings" in told
    assert "worst: CVE-2099-0001" in told


def test_ascii_is_enough() -> None:
    told = shown(chain_tree(CHAIN, full=True, ascii_only=True), encoding="ascii")
    assert "+ source" in told
    assert "?" not in told


def test_nothing_that_others_wrote_can_forge_a_line() -> None:
    evil = replace(
        CHAIN,
        origins=(replace(ORIGIN, repository=HOSTILE, invocation=HOSTILE),),
        packages=(Package(HOSTILE, HOSTILE),),
    )
    told = shown(chain_tree(evil, full=True), 9000)
    plain = shown(chain_tree(CHAIN, full=True), 2000)
    assert len(told.splitlines()) == len(plain.splitlines()) - 1, "one package less"
    assert "\x1b" not in told


def test_a_chain_is_whole_as_json() -> None:
    found = json.loads(json.dumps(chain_json(CHAIN)))
    assert found["origins"][0]["commit"] == ORIGIN.commit
    assert found["verdicts"][0]["verdict"] == "promote"
    assert found["places"][0]["ready"] == 2
    assert chain_json(replace(CHAIN, packages=None, scan=None))["packages"] is None


def test_a_difference_tells_each_section_and_fits_in_80_columns() -> None:
    told = shown(difference(DIFFERENCE, files=True))
    assert max(map(len, told.splitlines())) <= 80
    for words in (
        "2 differences: 1 added and 1 changed",
        "added    pypi/new",
        "1 fixed (1 HIGH)",
        "CVE-2099-0002 (LOW) in leaky 1.0: no fix exists",
        "! A was scanned with an older database",
        "1,234 B 0644 11111111",
        "-> hello.py",
        "environment PORT",
    ):
        assert words in told


def test_files_are_counted_unless_asked_for() -> None:
    told = shown(difference(DIFFERENCE, files=False))
    assert "3 differences: 1 added, 1 removed and 1 changed" in told
    assert "/app/hello.py" not in told


def test_lines_in_a_pipe_are_not_padded() -> None:
    assert all(len(line) < 300 for line in shown(difference(DIFFERENCE, True), 2000).splitlines())


def test_nothing_different_is_said_and_what_cannot_be_compared_never_is_that() -> None:
    same = replace(
        DIFFERENCE, packages=(), vulnerabilities=VulnerabilityChanges((), ()), files=(), settings=()
    )
    told = shown(difference(same, files=False))
    assert told.count("the same") == 3
    assert "none fixed, none introduced" in told
    unknown = replace(
        same, packages=Unknown("A has no SBOM"), vulnerabilities=Unknown("B has none")
    )
    told = shown(difference(unknown, files=False))
    assert "! cannot be compared: A has no SBOM" in told
    assert "! cannot be compared: B has none" in told
    assert told.count("the same") == 2
    assert difference_json(unknown)["packages"] == {"reason": "A has no SBOM"}


def test_one_artifact_is_not_compared_with_itself() -> None:
    assert "are the same artifact" in shown(difference(replace(DIFFERENCE, after=ARTIFACT), True))


@pytest.mark.parametrize("width", [40, 80, 120])
def test_what_others_wrote_does_not_break_a_row(width: int) -> None:
    evil = replace(DIFFERENCE, settings=(SettingChange(f"label {HOSTILE}", HOSTILE, HOSTILE),))
    assert "\x1b" not in shown(difference(evil, True), width)
