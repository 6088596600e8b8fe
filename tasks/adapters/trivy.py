"""Trivy, through pytrivy: what is known to be wrong with an artifact, by its digest and nothing else.

Whatever goes wrong - no database, no answer, a killed or hanging scanner, a report of another shape - is a scan that was
not done, with a reason; never an empty list of findings.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tasks import oci
from tasks.adapters import (
    trivy_bill,
    trivy_config,
    trivy_database,
    trivy_knowledge,
    trivy_layers,
    trivy_process,
    trivy_report,
    trivy_spdx,
    trivy_workers,
)
from tasks.adapters.mirrored import MirroredStore
from tasks.adapters.registry_session import is_loopback
from tasks.adapters.trivy_config import Config, Image
from tasks.adapters.trivy_database import Database
from tasks.adapters.trivy_knowledge import Knowledge, knowledge
from tasks.adapters.trivy_workers import Say
from tasks.errors import BakewellError, InvalidInputError, TransientError
from tasks.evidence import Scanned, ScanNotDone, ScanReport
from tasks.model import Artifact
from tasks.ports import ArtifactStore

MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class _Aim:
    """What Trivy is told to read. `remember`: what it sees of layers may be kept, and what was seen before counts."""

    target: str
    image: Image = field(default_factory=Image)
    remember: bool = False


@dataclass(frozen=True)
class _Room:
    """Where one run takes place, and what it knows."""

    worker: Path
    work: Path
    known: Knowledge


@dataclass(frozen=True)
class _Answer:
    """What Trivy said, and of when the database was that it used; None: it had none, and `problem` says why."""

    found: dict[str, Any]
    database_updated_at: datetime | None
    problem: str


class TrivyScanner:
    """Fits ports.Scanner. `home` holds the vulnerability database and the workers' caches of layers.

    `say` hears of it when somebody has to wait for others' scans. To wait for one's turn may take as long as a scan.
    """

    def __init__(
        self, home: Path, open_store: Callable[[str], ArtifactStore], say: Say = lambda _: None
    ) -> None:
        self._home = home
        self._open_store = open_store
        self._say = say

    def scan(self, artifact: Artifact, seconds: float) -> Scanned:
        """Vulnerabilities, secrets, licences, and both bills of what was seen. Without a database secrets and packages
        are still looked for, and told."""
        try:
            here = self._located(artifact)
            answer = self._ask("scan", here, lambda room: self._aim(here, room), seconds)
            return _scanned(artifact, answer)
        except (BakewellError, *MALFORMED) as error:
            return Scanned(_not_done(artifact, error))

    def rescan(
        self, artifact: Artifact, cyclonedx: bytes, seconds: float
    ) -> ScanReport | ScanNotDone:
        """What today's database knows of a stored bill. Secrets are not in there: it lists packages."""
        try:
            _check_subject(artifact, cyclonedx)
            answer = self._ask(
                "rescan", artifact, lambda room: _written(cyclonedx, room.work), seconds
            )
            report = _told(artifact, answer)
        except (BakewellError, *MALFORMED) as error:
            return _not_done(artifact, error)
        return replace(report, of_bill=True) if isinstance(report, ScanReport) else report

    def _ask(
        self, what: str, artifact: Artifact, aim: Callable[[_Room], _Aim], seconds: float
    ) -> _Answer:
        known = knowledge(self._home)
        with (
            trivy_workers.taken(self._home, seconds, self._say) as worker,
            trivy_process.work_folder() as work,
            _lent(known, worker) as lent,
        ):
            room = _Room(worker, work, known)
            aimed = _aimed(what, artifact, aim, room)
            config = _config(what, artifact, aimed, room, seconds)
            found = _asked(what, aimed.target, config, room, seconds)
        used = lent.updated_at if lent else None
        if known.server:
            used = trivy_report.server_database_of(found["report"])
        return _Answer(found, used, known.problem)

    def _located(self, artifact: Artifact) -> Artifact:
        """Where Trivy, which reads registries itself, can have its bytes now: also from a mirror."""
        store = self._open_store(artifact.repository)
        if not isinstance(store, MirroredStore):
            return artifact
        return replace(artifact, repository=store.holder(artifact.digest).repository)

    def _aim(self, artifact: Artifact, room: _Room) -> _Aim:
        """The registry by digest, or a view of the layout with this one image in it.

        The store is asked by ourselves first: Trivy has one and the same error for an image that is not there, a wrong
        password and a registry that is down.
        """
        if "/" not in artifact.repository:
            raise InvalidInputError(f"asked to scan {artifact.reference}; Trivy cannot read there")
        store = self._open_store(artifact.repository)
        names = trivy_layers.named(store, artifact)
        if room.known.server:
            trivy_layers.verify(store, artifact, room.worker, names)
        remember = trivy_layers.may_remember(room.worker, names)
        if not artifact.repository.startswith("layout:"):
            return _Aim(artifact.reference, Image(source=("remote",)), remember)
        folder = Path(artifact.repository.removeprefix("layout:"))
        view = _view(folder, artifact.digest, store, room.work)
        return _Aim(artifact.digest, Image(input=str(view)), remember)


def prepare_database(home: Path, allowed_hours: float = trivy_knowledge.OLD_HOURS) -> str:
    """See that a vulnerability database is there, as new as can be had: an empty string if it is fit for use.

    Else one sentence: there is none, or it is older than allowed and why it cannot be renewed. An old one is kept:
    whether it is too old for an artifact is for its policy to say.
    """
    return trivy_knowledge.problem_of(knowledge(home), allowed_hours, datetime.now(UTC))


def _asked(what: str, target: str, config: Config, room: _Room, seconds: float) -> dict[str, Any]:
    """Once more if only the worker's memory of layers is broken: it can be had again from the layers."""
    began = time.monotonic()
    try:
        return trivy_process.ask(what, target, config, room.work, seconds)
    except TransientError as error:
        if not trivy_workers.is_broken(str(error)):
            raise
    trivy_workers.forget(room.worker)
    left = max(1.0, seconds - (time.monotonic() - began))
    return trivy_process.ask(what, target, config, room.work, left)


def _lent(known: Knowledge, worker: Path) -> AbstractContextManager[Database | None]:
    return trivy_database.lent(known.database, worker) if known.database else nullcontext()


def _config(what: str, artifact: Artifact, aim: _Aim, room: _Room, seconds: float) -> Config:
    """Certificates of a server are looked at even if the image comes from this machine."""
    backend = "fs" if aim.remember else "memory"
    return replace(
        trivy_config.config(room.work, room.worker, seconds, backend),
        scan=trivy_config.Scan(_scanners(what, room.known)),
        server=trivy_config.Server(room.known.server),
        image=aim.image,
        insecure=not room.known.server and _is_plain(artifact.repository),
    )


def _scanners(what: str, known: Knowledge) -> tuple[str, ...]:
    """In a bill there are no secrets; without knowledge no vulnerabilities can be told."""
    wanted = ["license"] if what == "rescan" else ["secret", "license"]
    return ("vuln", *wanted) if known.updated_at else tuple(wanted)


def _aimed(what: str, artifact: Artifact, aim: Callable[[_Room], _Aim], room: _Room) -> _Aim:
    try:
        return aim(room)
    except OSError as error:
        raise TransientError(
            f"asked to {what} {artifact.short}; its files cannot be laid out: {error}"
        ) from error


def _is_plain(repository: str) -> bool:
    """Plain http on loopback only, as registry.py has it: `insecure` also stops looking at certificates."""
    host, slash, _ = repository.partition("/")
    return bool(slash) and not host.startswith("layout:") and is_loopback(host)


def _scanned(artifact: Artifact, answer: _Answer) -> Scanned:
    """What was found stays found, also where it cannot be listed."""
    report, found = _told(artifact, answer), answer.found
    try:
        if problem := found.get("without_bills"):
            raise ValueError(problem)
        cyclonedx = trivy_bill.settled(found["cyclonedx"], artifact)
        return Scanned(report, cyclonedx, trivy_spdx.settled(found["spdx"], artifact))
    except MALFORMED as error:
        reason = f"Trivy could not list what is inside {artifact.short}: {error!r}; try again"
        return Scanned(report, without_bills=reason)


def _told(artifact: Artifact, answer: _Answer) -> ScanReport | ScanNotDone:
    report: dict[str, Any] = answer.found["report"]
    if wrong := trivy_report.problem_of(report):
        raise TransientError(f"asked Trivy to scan {artifact.short}; {wrong}")
    if answer.database_updated_at is None:
        reason = f"there is no vulnerability database: {answer.problem}"
        return _only_secrets(artifact, report, reason)
    return ScanReport(
        artifact.digest,
        trivy_report.scanner_of(report),
        datetime.now(UTC),
        answer.database_updated_at,
        trivy_report.packages_of(report),
        trivy_report.findings_of(report),
    )


def _only_secrets(artifact: Artifact, report: dict[str, Any], reason: str) -> ScanNotDone:
    packages, secrets = trivy_report.packages_of(report), trivy_report.secrets_of(report)
    return ScanNotDone(artifact.digest, reason, datetime.now(UTC), packages, secrets)


def _not_done(artifact: Artifact, error: Exception) -> ScanNotDone:
    reason = str(error)
    if not isinstance(error, BakewellError):
        reason = f"Trivy's answer cannot be understood ({error!r}); was it updated?"
    return ScanNotDone(artifact.digest, reason, datetime.now(UTC))


def _check_subject(artifact: Artifact, cyclonedx: bytes) -> None:
    subject = trivy_bill.subject_of(cyclonedx)
    if subject != artifact.digest:
        raise InvalidInputError(
            f"asked to scan the bill of materials of {artifact.short}; it is about {subject or 'something unnamed'}"
        )


def _written(cyclonedx: bytes, work: Path) -> _Aim:
    bill = work / "bill.cdx.json"
    bill.write_bytes(cyclonedx)
    return _Aim(str(bill))


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
