"""The webhook receiver, an ASGI application: who may say that something was pushed, and is it written down?

What it answers: 202 accepted (it is in the journal by then), 200 nothing to do or known already, 400 no such message, 401 not
signed by who holds the secret, 404 no such repository here, 408 too slow, 413 too large, 429 too often, 503 could not be
written down: deliver it again.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tasks.adapters.forges import push_of
from tasks.adapters.receiver_metrics import CONTENT_TYPE, ReceiverMetrics
from tasks.adapters.repositories_file import read_secret
from tasks.adapters.signatures import is_signed
from tasks.errors import BakewellError, InvalidInputError
from tasks.pushes import Nothing, Push, PushedService, Repositories, Repository

LOGGER: Final = logging.getLogger("bakewell")


class Outcome(StrEnum):
    """How a message was answered; what metrics count."""

    ACCEPTED = "accepted"
    KNOWN = "known already"
    NOTHING = "nothing to do"
    NO_MESSAGE = "no such message"
    NOT_SIGNED = "not signed"
    UNKNOWN = "unknown repository"
    SLOW = "too slow"
    LARGE = "too large"
    OFTEN = "too often"
    UNWRITTEN = "not written"


STATUS: Final = {
    Outcome.ACCEPTED: 202,
    Outcome.KNOWN: 200,
    Outcome.NOTHING: 200,
    Outcome.NO_MESSAGE: 400,
    Outcome.NOT_SIGNED: 401,
    Outcome.UNKNOWN: 404,
    Outcome.SLOW: 408,
    Outcome.LARGE: 413,
    Outcome.OFTEN: 429,
    Outcome.UNWRITTEN: 503,
}


@dataclass(frozen=True)
class Limits:
    """What one may ask of it. `per_minute` holds for each remote address and for each repository."""

    body_bytes: int = 5_000_000
    body_seconds: float = 10.0
    per_minute: int = 1_200


class Filing(Protocol):
    """Where accepted pushes are written down (flows/desk.py)."""

    def file(
        self, repository: Repository, push: Push, services: tuple[PushedService, ...]
    ) -> Future[tuple[str, ...]]: ...

    def check(self) -> None: ...


Concerned = Callable[[Push, Repository], tuple[PushedService, ...] | None]
"""Which services a push concerns; None: it is not of this repository at all."""


class _AnsweredError(Exception):
    """The message is answered here and now."""

    def __init__(self, outcome: Outcome, words: str, retry_seconds: int = 0) -> None:
        super().__init__(words)
        self.outcome, self.words, self.retry_seconds = outcome, words, retry_seconds


class Receiver:
    """`repositories` is asked at each message: what the file says now."""

    def __init__(
        self,
        desk: Filing,
        repositories: Callable[[], Repositories],
        concerned: Concerned,
        metrics: ReceiverMetrics,
        limits: Limits = Limits(),
    ) -> None:
        self._desk, self._repositories, self._concerned = desk, repositories, concerned
        self._metrics, self._limits = metrics, limits
        self._rate = RateLimitItemPerMinute(limits.per_minute)
        self._counting = FixedWindowRateLimiter(MemoryStorage())

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/push/{name}", self._receive, methods=["POST"]),
                Route("/health", self._health, methods=["GET"]),
                Route("/metrics", self._show_metrics, methods=["GET"]),
            ]
        )

    async def _receive(self, request: Request) -> Response:
        begin = time.monotonic()
        retry_seconds = 0
        try:
            outcome, words = await self._accept(request)
        except _AnsweredError as answer:
            outcome, words, retry_seconds = answer.outcome, answer.words, answer.retry_seconds
        except BakewellError as error:
            LOGGER.error("a message to %s was not accepted: %s", request.url.path, error)
            outcome, words = Outcome.UNWRITTEN, "it could not be written down; deliver it again"
        self._metrics.answered(outcome.value, time.monotonic() - begin)
        headers = {"Retry-After": str(retry_seconds)} if retry_seconds else None
        return JSONResponse(
            {"outcome": outcome.value, "detail": words}, STATUS[outcome], headers=headers
        )

    async def _accept(self, request: Request) -> tuple[Outcome, str]:
        """Nothing of a message is believed, or even parsed, before its signature was checked."""
        self._count("remote", request.client.host if request.client else "")
        repository = self._repositories().named(request.path_params["name"])
        if repository is None:
            raise _AnsweredError(Outcome.UNKNOWN, "no such repository is listened to here")
        body = await self._body(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        secret = read_secret(repository.secret)
        if not is_signed(repository.forge, headers, body, secret, datetime.now(UTC)):
            raise _AnsweredError(
                Outcome.NOT_SIGNED, "it is not signed with the secret of this repository"
            )
        self._count("repository", repository.name)  # strangers use nothing of it up
        try:
            said = push_of(repository.forge, headers, body)
        except InvalidInputError as error:
            raise _AnsweredError(Outcome.NO_MESSAGE, str(error)) from error
        if isinstance(said, Nothing):
            return Outcome.NOTHING, said.why
        return await self._file(repository, said)

    async def _file(self, repository: Repository, push: Push) -> tuple[Outcome, str]:
        services = self._concerned(push, repository)
        if services is None:
            raise _AnsweredError(Outcome.UNKNOWN, "the message is about another repository")
        if not services:
            return Outcome.NOTHING, f"the push to {push.branch} concerns no service"
        accepted = await asyncio.wrap_future(self._desk.file(repository, push, services))
        if not accepted:
            return Outcome.KNOWN, f"{push.commit} was accepted before"
        return Outcome.ACCEPTED, f"{push.commit} will be released: {', '.join(accepted)}"

    def _count(self, what: str, who: str) -> None:
        if self._counting.hit(self._rate, what, who):
            return
        window = self._counting.get_window_stats(self._rate, what, who)
        seconds = max(1, round(window.reset_time - time.time()))
        raise _AnsweredError(Outcome.OFTEN, f"more than {self._rate} of this {what}", seconds)

    async def _body(self, request: Request) -> bytes:
        most, seconds = self._limits.body_bytes, self._limits.body_seconds
        body = bytearray()
        try:
            async with asyncio.timeout(seconds):
                async for part in request.stream():
                    body += part
                    if len(body) > most:
                        raise _AnsweredError(Outcome.LARGE, f"it has more than {most} bytes")
        except TimeoutError as error:
            raise _AnsweredError(Outcome.SLOW, f"it did not arrive within {seconds:g} s") from error
        except ClientDisconnect as error:
            raise _AnsweredError(Outcome.NO_MESSAGE, "it broke off") from error
        return bytes(body)

    async def _health(self, request: Request) -> Response:
        """Can what is accepted be written down?"""
        try:
            await asyncio.to_thread(self._desk.check)
        except BakewellError as error:
            return JSONResponse({"journal": str(error)}, 503)
        return JSONResponse({"journal": "can be written"})

    async def _show_metrics(self, request: Request) -> Response:
        return Response(self._metrics.page(), media_type=CONTENT_TYPE)
