"""Mirroring: an artifact with all its evidence in a second place, and the proof that it holds there as well."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from flows.story import Tone, tell
from flows.verification import artifact_of
from tasks import platforms
from tasks.errors import BakewellError, InvalidInputError, NotFoundError, VerificationFailedError
from tasks.evidence import Dossier, Proof
from tasks.journal.events import body_of
from tasks.journal.rules import BakedBody, ReleaseStarted
from tasks.mirror.copying import Copied, copy_artifact
from tasks.model import Artifact
from tasks.ports import Journal
from tasks.sign import evidence

MEMORY: Final = "memory:"


@dataclass(frozen=True)
class Mirrored:
    """One artifact in its second place: what was written, and how many signatures and statements hold there."""

    artifact: Artifact
    copy: Artifact
    copied: Copied
    proofs: int


@dataclass(frozen=True)
class NotMirrored:
    """One that could not be copied, or does not hold there, and why."""

    artifact: Artifact
    error: BakewellError


Outcome = Mirrored | NotMirrored


def mirror_one(reference: str, to: str) -> list[Outcome]:
    """`reference` as `bakewell verify` takes it. Raises what makes it fail; done again, it goes on where it was."""
    return [_mirrored(artifact_of(reference), destination(to))]


def mirror_all(service: str, to: str) -> list[Outcome]:
    """Every artifact that the journal knows of a service, oldest first; one that fails does not stop the others."""
    target = destination(to)
    found = artifacts_of(platforms.journal(), service)
    if not found:
        raise NotFoundError(
            f"asked to mirror all of {service!r}; the journal knows no artifact of it; `bakewell history` shows what it"
            " knows"
        )
    return [_tried(artifact, target) for artifact in found]


def destination(to: str) -> str:
    """The repository that `to` names; a layout's folder may be relative to where one is."""
    folder = to.removeprefix("layout:")
    if folder != to and folder:
        return f"layout:{Path(folder).expanduser().absolute()}"
    if folder != to or to.startswith(MEMORY) or "@" in to:
        raise InvalidInputError(
            f"asked to mirror to {to.rpartition('@')[2]!r}; give a repository (`host[:port]/name`) or `layout:FOLDER`,"
            " without user, tag or digest"
        )
    return to


def artifacts_of(journal: Journal, service: str) -> list[Artifact]:
    """Each once, in the order in which they were baked or first released."""
    bodies = [body_of(event) for event in journal.events(service)]
    told = [one.artifact for one in bodies if isinstance(one, BakedBody | ReleaseStarted)]
    return list(dict.fromkeys(told))


def _tried(artifact: Artifact, to: str) -> Outcome:
    try:
        return _mirrored(artifact, to)
    except BakewellError as error:
        tell(f"{artifact.short} was not mirrored: {error}", Tone.BAD, where=artifact.service)
        return NotMirrored(artifact, error)


def _mirrored(artifact: Artifact, to: str) -> Mirrored:
    if to == artifact.repository:
        raise InvalidInputError(
            f"asked to mirror {artifact.reference} to where it is; name another place"
        )
    before = evidence.examine(artifact)
    copied = _copied(artifact, to, lambda line: tell(line, Tone.WAIT, where=artifact.service))
    copy = replace(artifact, repository=to)
    proofs = proved_alike(before, evidence.examine(copy))
    tell(
        f"{artifact.short} is in {to}: {copied.manifests} manifests and {copied.blobs} blobs"
        f" ({copied.blob_bytes / 1e6:.1f} MB) new, {copied.there_already} were there; {proofs} proofs hold",
        Tone.GOOD,
        where=artifact.service,
    )
    return Mirrored(artifact, copy, copied, proofs)


def _copied(artifact: Artifact, to: str, say: Callable[[str], None]) -> Copied:
    source, target = platforms.store(artifact.repository), platforms.plain_store(to)
    cache = platforms.home() / "cache"
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mirror-", dir=cache) as work:
        return copy_artifact(source, target, artifact.digest, Path(work), say)


def proved_alike(before: Dossier, after: Dossier) -> int:
    """How many signatures and statements hold at the copy. VerificationFailedError if one that held before does not."""
    lost = sorted(set(_proofs(before)) - set(_proofs(after)))
    if lost:
        raise VerificationFailedError(
            f"{before.artifact.reference} was copied to {after.artifact.repository}, but there {', '.join(lost)} does not"
            " hold; is somebody else writing there? Look with `bakewell verify`, then mirror it again"
        )
    return len(_proofs(after))


def _proofs(dossier: Dossier) -> list[str]:
    signatures = [one.name for one in dossier.signatures if one.proof is Proof.VALID]
    return signatures + list(_statements(dossier))


def _statements(dossier: Dossier) -> Iterator[str]:
    for one in dossier.attested:
        if one.proof is Proof.VALID:
            yield f"{one.kind.value if one.kind else one.predicate_type} ({one.digest[7:19]})"
