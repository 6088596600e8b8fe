"""Trivy, through pytrivy: what is known to be wrong with an artifact, by its digest and nothing else.

Whatever goes wrong - no database, no answer, a killed or hanging scanner, a report of another shape - is a scan that was
not done, with a reason; never an empty list of findings.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks import oci
from tasks.adapters import trivy_bill, trivy_database, trivy_process, trivy_report
from tasks.adapters.registry_session import is_loopback
from tasks.adapters.trivy_database import Database
from tasks.errors import BakewellError, InvalidInputError, TransientError
from tasks.evidence import ScanNotDone, ScanReport
from tasks.model import Artifact
from tasks.ports import ArtifactStore

USUALLY_ALLOWED_HOURS = 48.0
MALFORMED = (AttributeError, KeyError, TypeError, ValueError)


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
            report = self._ask("scan", artifact, scanners, database, seconds)
            if wrong := trivy_report.problem_of(report):
                raise TransientError(f"asked Trivy to scan {artifact.short}; {wrong}")
            return _told(artifact, report, database, problem)
        except BakewellError as error:
            return ScanNotDone(artifact.digest, str(error), datetime.now(UTC))
        except MALFORMED as error:
            reason = f"Trivy's report cannot be understood ({error!r}); was it updated?"
            return ScanNotDone(artifact.digest, reason, datetime.now(UTC))

    def bill_of_materials(self, artifact: Artifact, seconds: float) -> bytes:
        """CycloneDX JSON, the same bytes each time with the same Trivy. TransientError if there is none."""
        found = self._ask("sbom", artifact, (), None, seconds)
        try:
            if found.get("bomFormat") == "CycloneDX":
                return trivy_bill.settled(found, artifact)
        except MALFORMED as error:
            reason = f"it cannot be understood ({error!r}); was Trivy updated?"
            raise TransientError(
                f"asked Trivy for an SBOM of {artifact.short}; {reason}"
            ) from error
        raise TransientError(
            f"asked Trivy for an SBOM of {artifact.short}; found {str(found)[:200]}"
        )

    def _ask(
        self,
        what: str,
        artifact: Artifact,
        scanners: Sequence[str],
        database: Database | None,
        seconds: float,
    ) -> dict[str, Any]:
        with trivy_process.work_folder() as work:
            try:
                target, image = self._target(artifact, work)
                config = _config(work, scanners, database, seconds)
            except OSError as error:
                raise TransientError(
                    f"asked to {what} {artifact.short}; its files cannot be laid out: {error}"
                ) from error
            insecure = _is_plain(artifact.repository)
            whole = {**config, "insecure": insecure, "image": image}
            return trivy_process.ask(what, target, whole, work, seconds)

    def _target(self, artifact: Artifact, work: Path) -> tuple[str, dict[str, Any]]:
        """What Trivy is told to read: the registry by digest, or a view of the layout with this one image in it."""
        if artifact.repository.startswith("layout:"):
            folder = Path(artifact.repository.removeprefix("layout:"))
            view = _view(folder, artifact.digest, self._open_store(artifact.repository), work)
            return artifact.digest, {"input": str(view)}
        if "/" not in artifact.repository:
            raise InvalidInputError(f"asked to scan {artifact.reference}; Trivy cannot read there")
        return artifact.reference, {"source": ["remote"]}


def prepare_database(cache: Path) -> str:
    """See that a vulnerability database is there, as new as can be had: an empty string if it is fit for use.

    Else one sentence: there is none, or it is older than services allow unless they say otherwise, and why it cannot
    be renewed. An old one is kept: whether it is too old for a service is its policy's to say.
    """
    try:
        trivy_process.binary()
    except BakewellError as error:
        return str(error)
    problem, there = trivy_database.freshened(cache), trivy_database.found(cache)
    now, allowed_hours = datetime.now(UTC), USUALLY_ALLOWED_HOURS
    if there is None or there.is_of_the_last(allowed_hours, now):
        return "" if there else problem or f"there is none in {cache} that Trivy can read"
    why = problem or "its mirror has nothing newer"
    return f"the vulnerability database is of {there.updated_at:%Y-%m-%d %H:%M} UTC and cannot be renewed: {why}"


def _config(
    work: Path, scanners: Sequence[str], database: Database | None, seconds: float
) -> dict[str, Any]:
    """All of it said: Trivy would pick up .trivyignore, trivy.yaml and trivy-secret.yaml from where it is started."""
    (work / "ignore-nothing").touch()
    (work / "cache").mkdir()
    if database:
        (work / "cache" / "db").symlink_to(database.folder)
    scan: dict[str, Any] = {
        "offline": True,
        "skip-version-check": True,
        "disable-telemetry": True,
        "show-suppressed": True,
    }
    return {
        "timeout": f"{max(1, int(seconds))}s",
        "cache": {"dir": str(work / "cache"), "backend": "memory"},
        "list-all-pkgs": True,
        "ignorefile": str(work / "ignore-nothing"),
        "db": {"skip-update": True, "java-skip-update": True, "no-progress": True},
        "scan": {**scan, **({"scanners": list(scanners)} if scanners else {})},
    }


def _is_plain(repository: str) -> bool:
    """Plain http on loopback only, as registry.py has it: `insecure` also stops looking at certificates."""
    host, slash, _ = repository.partition("/")
    return bool(slash) and not host.startswith("layout:") and is_loopback(host)


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
