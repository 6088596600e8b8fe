"""Quarantine: what is in force, what it holds, and where that runs. Reads journal, evidence and platforms; no Prefect."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from flows.contents import contents_of
from tasks import oci, platforms
from tasks.admit.quarantine import Certainty, Hit, held, hits, refusal
from tasks.errors import BakewellError
from tasks.evidence import Dossier, Quarantine
from tasks.journal.rules import EVERY_SERVICE, EnvironmentState, fold
from tasks.model import Artifact, Environment, Judgement, Verdict


class Place(StrEnum):
    """As what something runs in an environment."""

    STABLE = "stable"
    WARM = "warm"
    ROLLOUT = "rollout"
    LEFT_OVER = "left over"


@dataclass(frozen=True)
class Found:
    """One group that a quarantine holds, or of which that could not be told."""

    environment: Environment
    place: Place
    release: str
    artifact: Artifact
    hit: Hit

    @property
    def is_held(self) -> bool:
        return self.hit.certainty is Certainty.HELD


@dataclass(frozen=True)
class Whereabouts:
    """Where it runs, and a sentence for each platform that could not be asked."""

    found: tuple[Found, ...]
    unseen: tuple[str, ...] = ()

    @property
    def held(self) -> tuple[Found, ...]:
        return tuple(one for one in self.found if one.is_held)


def known() -> tuple[Quarantine, ...]:
    """All that were not lifted, also those that are over."""
    return fold(platforms.journal().events(EVERY_SERVICE)).quarantines


def in_force(now: datetime) -> tuple[Quarantine, ...]:
    return tuple(one for one in known() if one.in_force(now))


def fingerprint(quarantines: Sequence[Quarantine]) -> str:
    """What was found out while these were in force counts only while these are; empty for none."""
    return oci.digest_of(repr(quarantines).encode()) if quarantines else ""


def quarantined(artifact: Artifact, dossier: Dossier | None = None) -> tuple[Hit, ...]:
    """What holds the artifact now. Evidence is read only while a base or a package is quarantined at all."""
    return held_by(artifact, in_force(datetime.now(UTC)), dossier)


def held_by(
    artifact: Artifact, quarantines: Sequence[Quarantine], dossier: Dossier | None = None
) -> tuple[Hit, ...]:
    """Which of these hold it. TransientError if its store does not answer: that is neither yes nor no."""
    if not quarantines:
        return ()
    kinds = {one.kind for one in quarantines}
    return hits(quarantines, contents_of(artifact, kinds, dossier), datetime.now(UTC))


class Lookout:
    """Is a candidate quarantined while it is rolled out? Each quarantine is asked about once, so a round costs one query."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        self._clear: set[Quarantine] = set()

    def judgement(self) -> Judgement | None:
        """The one that ends its rollout, or None. What nobody could tell is INCONCLUSIVE, never bad."""
        fresh = [one for one in in_force(datetime.now(UTC)) if one not in self._clear]
        found = held_by(self._artifact, fresh)
        if not found:
            self._clear.update(fresh)
            return None
        is_held = found[0].certainty is Certainty.HELD
        verdict = Verdict.ROLL_BACK if is_held else Verdict.INCONCLUSIVE
        return Judgement(verdict, refusal(found[0]))


# ---- where it runs -------------------------------------------------------------------------------


def where_it_runs(quarantine: Quarantine) -> Whereabouts:
    """In every environment of every service: by the journal, and by what the platforms show."""
    found: list[Found] = []
    unseen: list[str] = []
    told: dict[Artifact, Hit | None] = {}
    for state in fold(platforms.journal().events()).environments.values():
        groups = list(_journalled(state))
        try:
            groups += _left_over(state.environment, {artifact for _, _, artifact in groups})
        except BakewellError as error:
            unseen.append(f"{state.environment.service} {state.environment.name}: {error}")
        for place, release, artifact in groups:
            if artifact not in told:
                told[artifact] = _told(quarantine, artifact)
            if hit := told[artifact]:
                found.append(Found(state.environment, place, release, artifact, hit))
    return Whereabouts(tuple(found), tuple(unseen))


def problems_of(state: EnvironmentState, quarantines: Sequence[Quarantine]) -> Iterator[str]:
    """A sentence for each group of an environment that is quarantined."""
    for _, release, artifact in _journalled(state):
        try:
            found = held_by(artifact, quarantines)
        except BakewellError as error:
            yield f"{release}: nobody could tell whether it is quarantined: {error}"
        else:
            yield from (f"{release}: {artifact.short}: {held(hit)}" for hit in found)


Running = tuple[Place, str, Artifact]


def _journalled(state: EnvironmentState) -> Iterator[Running]:
    if state.stable:
        yield Place.STABLE, state.stable.release, state.stable.artifact
    if state.warm:
        yield Place.WARM, state.warm.release, state.warm.artifact
    if state.rollout:
        yield Place.ROLLOUT, state.rollout.release, state.rollout.artifact


def _left_over(environment: Environment, known: set[Artifact]) -> Iterator[Running]:
    """What runs without being wanted: somebody was killed before it was stopped."""
    status = platforms.connect(environment.platform).fleet.read(environment)
    digests = {artifact.digest for artifact in known}
    for group in status.groups:
        if group.artifact.digest not in digests:
            yield Place.LEFT_OVER, group.name, group.artifact


def _told(quarantine: Quarantine, artifact: Artifact) -> Hit | None:
    try:
        return next(iter(held_by(artifact, [quarantine])), None)
    except BakewellError as error:
        return Hit(quarantine, Certainty.COULD_NOT_TELL, str(error))
