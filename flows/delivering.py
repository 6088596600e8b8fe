"""Delivering: accepted pushes become runs of the deployment `release/release`, one at a time for each service.

What is about to be taken is journalled before Prefect is asked, and Prefect gives the same run for the same key: killed at
any point, whoever comes next does the rest, and no push is released twice.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import JsonValue

from flows.labels import tags_of
from flows.push_news import ended_words, show_forge
from flows.pushbook import PushBook
from flows.story import Tone, tell
from flows.tenure import tenure
from tasks import platforms
from tasks.adapters.commit_status import Mark
from tasks.adapters.prefect_api import FlowRun, PrefectApi
from tasks.errors import InvalidInputError, LeaseHeldError, NotFoundError, TransientError
from tasks.journal.events import KINDS, written
from tasks.journal.pushes import (
    DropCause,
    KnownPush,
    PushDropped,
    PushEnded,
    Pushes,
    PushTaken,
    Sorted,
    in_flight_of,
    sort_open,
)
from tasks.journal.rules import EVERY_SERVICE, Body, ReleaseFinished, fold, record
from tasks.ports import Entry, Journal
from tasks.pushes import OnPush, Repositories

DEPLOYMENT: Final = "release/release"
LEASE: Final = "pushes"
MOST_ATTEMPTS: Final = 3
"""A run whose process was killed - with its machine, by the kernel - is made again; a push that kills every process is not."""
NOT_BEGUN: Final = frozenset({"SCHEDULED", "PENDING"})


def deliver() -> Iterator[str]:
    """The chore: what can be done for every open push and every run that has taken one. Says what was done."""
    journal = platforms.journal()
    yield from deliver_from(PushBook(journal), journal)


def deliver_from(book: PushBook, journal: Journal) -> Iterator[str]:
    """The same for who has a book, and so need not read it all again."""
    pushes = book.refresh()
    if not pushes.open and not pushes.in_flight:
        return
    try:
        with _prefect() as prefect, tenure(journal, EVERY_SERVICE, LEASE, "delivery of pushes"):
            yield from Delivery(journal, prefect, platforms.repositories()).round(book.refresh())
    except LeaseHeldError:
        return  # another process delivers


def _prefect() -> PrefectApi:
    if (api := platforms.prefect_api()) is None:
        raise TransientError("no Prefect server runs here; `bakewell up` starts one")
    return PrefectApi(api)


@dataclass(frozen=True)
class Delivery:
    """One round. TransientError if Prefect does not answer: everything stays as it is."""

    journal: Journal
    prefect: PrefectApi
    repositories: Repositories

    def round(self, pushes: Pushes) -> Iterator[str]:
        self._reachable()
        for service in dict.fromkeys(
            one.service for one in (*pushes.in_flight.values(), *pushes.open.values())
        ):
            yield from self._service(service, pushes)

    def _reachable(self) -> None:
        """Before anything is promised in the journal."""
        try:
            self.prefect.deployment(DEPLOYMENT)
        except NotFoundError as error:
            raise TransientError(str(error)) from error

    def _service(self, service: str, pushes: Pushes) -> Iterator[str]:
        found = sort_open(service, pushes)
        yield from self._drop(found)
        before = in_flight_of(service, pushes)
        if before is not None and (yield from self._is_under_way(before, found.next)):
            return
        if found.next and not self._is_held(service):
            yield from self._take(found.next[0])

    def _is_held(self, service: str) -> bool:
        """Does a person release it, or a run that we do not know of?"""
        return self.journal.holder(service, "") is not None

    # ---- what is in flight -----------------------------------------------------------------------

    def _is_under_way(
        self, before: KnownPush, newest: Sequence[KnownPush]
    ) -> Generator[str, None, bool]:
        """Returns whether it is. A run that was promised and never made is made now."""
        if not before.flow_run:
            yield from self._make(before)
            return True
        try:
            run = self.prefect.run(before.flow_run)
        except NotFoundError:
            yield self._end(before, None)
            return False
        newer = [one for one in newest if one.body.ref == before.body.ref]
        if run.state == "CRASHED" and not newer and before.attempts < MOST_ATTEMPTS:
            yield from self._again(before)
            return True
        if run.has_ended:
            yield self._end(before, run)
            return False
        if newer and run.state != "CANCELLING" and self._may_end(before, run):
            why = f"a newer push to {before.body.ref} ({newer[0].body.commit[:12]}) arrived"
            self.prefect.cancel(run.id, why)
            yield f"{before.service}: the release of {before.body.commit[:12]} is withdrawn: {why}"
        return True

    def _again(self, push: KnownPush) -> Iterator[str]:
        """Users are where they were before, or the reconciling brings them there: it begins anew, or goes on. Who holds the
        service is waited for."""
        if self._is_held(push.service):
            return
        yield (
            f"{push.service}: the process that released {push.body.commit[:12]} is gone; it is released again"
            f" ({push.attempts + 1} of at most {MOST_ATTEMPTS} times)"
        )
        yield from self._take(push)

    def _may_end(self, before: KnownPush, run: FlowRun) -> bool:
        """What has not begun is superseded; what has is finished or withdrawn, as the service chose."""
        return (run.state in NOT_BEGUN and run.state_name != "AwaitingRetry") or self._rule_of(
            before.service
        ) is OnPush.WITHDRAW

    def _rule_of(self, service: str) -> OnPush:
        """By the newest service.yaml that was released."""
        known = list(fold(self.journal.events(service)).releases.values())
        newest = max(known, key=lambda one: one.started_at, default=None)
        return newest.spec.on_push if newest else OnPush.FINISH

    def _end(self, push: KnownPush, run: FlowRun | None) -> str:
        self._close(push)
        succeeded, said = ended_words(self.journal, push, run)
        mark = Mark.SUCCESS if succeeded else Mark.FAILURE
        show_forge(self.repositories, push, mark, said)
        self._record(push, PushEnded(push.id, succeeded, said))
        return f"{push.service}: the release of {push.body.commit[:12]} has ended: {said}"

    def _close(self, push: KnownPush) -> None:
        """A release that waits has no process: whoever ends its run says for it that it is over."""
        known = fold(self.journal.events(push.service)).releases.values()
        waiting = [one for one in known if one.waiting and one.source.commit == push.body.commit]
        for one in waiting:
            with tenure(self.journal, push.service, "", "end of a run that waited") as held:
                held.record(one.id, ReleaseFinished("stopped: its run was ended while it waited"))

    # ---- what is open ----------------------------------------------------------------------------

    def _drop(self, found: Sorted) -> Iterator[str]:
        """All in one write: after an hour without Prefect they may be many."""
        bodies = []
        for push, newer in found.superseded:
            why = f"the push of {newer.body.commit[:12]} to {push.body.ref} supersedes it"
            bodies.append((push, PushDropped(push.id, why, DropCause.SUPERSEDED)))
        if bodies:
            self.journal.append_all(
                [Entry(KINDS[PushDropped], push.service, written(body)) for push, body in bodies]
            )
        for push, body in bodies:
            yield f"{push.service}: the push of {push.body.commit[:12]} is not released: {body.reason}"

    def _take(self, push: KnownPush) -> Iterator[str]:
        self._record(push, PushTaken(push.id, ""))
        yield from self._make(push.taken_again)

    def _make(self, push: KnownPush) -> Iterator[str]:
        """The run that releases it. Asked again, Prefect gives the run that is there."""
        try:
            run = self.prefect.create_run(
                DEPLOYMENT,
                {"request": self._request(push)},
                key=key_of(push),
                tags=(*tags_of(push.service), f"commit:{push.body.commit[:12]}", "push"),
                name=f"release {push.service} {push.body.commit[:12]}",
            )
        except InvalidInputError as error:
            reason = f"it was refused: {error}"
            self._record(push, PushDropped(push.id, reason, DropCause.REFUSED))
            tell(reason, Tone.BAD, where=push.service)
            show_forge(self.repositories, push, Mark.FAILURE, reason)
            yield f"{push.service}: the push of {push.body.commit[:12]} is not released: {reason}"
            return
        taken = replace(push, flow_run=run.id)
        self._record(push, PushTaken(push.id, run.id))
        show_forge(self.repositories, taken, Mark.PENDING, "is being released")
        yield f"{push.service}: {push.body.commit[:12]} is released by the run {run.name}"

    def _request(self, push: KnownPush) -> dict[str, JsonValue]:
        found = self.repositories.named(push.body.repository)
        services = found.services if found else ()
        to = next((one.to for one in services if one.service == push.service), "")
        return {
            "repository": push.body.repository,
            "commit": push.body.commit,
            "branch": push.body.ref,
            "subfolder": push.body.folder,
            "to": to,
        }

    def _record(self, push: KnownPush, body: Body) -> None:
        record(self.journal, push.service, "", "", body)


def key_of(push: KnownPush) -> str:
    """One run for one commit of one service, and for each attempt. A push that was refused and is delivered again is another
    push."""
    key = f"push:{push.body.repository}:{push.body.commit}:{push.service}"
    return key if push.attempts <= 1 else f"{key}:{push.attempts}"
