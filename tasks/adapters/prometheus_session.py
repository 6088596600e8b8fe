"""Questions to one Prometheus over HTTP: bounded in time and size, with a secret that is read when it is needed.

The secret is in no message, no traceback and no log: what httpx says about headers is not passed on (invariant 12). Redirects
are not followed, they could lead it elsewhere. httpx directly: a client library would bring its own session and retries,
and none bounds the time of a whole answer.
"""

import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx

from tasks.adapters.prometheus_answers import said
from tasks.adapters.redacting import without_secrets
from tasks.errors import MetricsUnreadableError
from tasks.sources import Authentication, PrometheusSource

MOST_BYTES: Final = 32 * 1024 * 1024
MOST_SKEW_SECONDS: Final = 30.0
REFUSED: Final = (400, 422)


@dataclass(frozen=True)
class Answer:
    """`refused`: it does not take the query as it is; the body says why."""

    body: bytes
    refused: bool


class PrometheusSession:
    """Asks one Prometheus. Every failure is a MetricsUnreadableError, which says nothing about the service."""

    def __init__(self, source: PrometheusSource) -> None:
        self._source = source

    def ask(self, path: str, form: Mapping[str, str]) -> Answer:
        """POST to `/api/v1/<path>`: queries are longer than addresses may be."""
        source = self._source
        limit = {**form, "timeout": f"{source.timeout_seconds:g}s"}
        end = time.monotonic() + source.timeout_seconds
        try:
            with (
                self._client() as client,
                client.stream("POST", f"{source.url}/api/v1/{path}", data=limit) as answer,
            ):
                body = self._body(answer, end)
        except httpx.TimeoutException:
            raise self._slow() from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # Not the error itself: it may quote what was sent.
            said_so = "" if isinstance(error, httpx.LocalProtocolError) else f": {error}"
            raise self._error(
                f"no answer ({type(error).__name__}{said_so})",
                "check that it runs, and that this machine reaches it",
            ) from None
        self._check_clock(answer)
        return self._checked(answer, without_secrets(body, answer.request.headers))

    def _client(self) -> httpx.Client:
        source = self._source
        return httpx.Client(
            timeout=source.timeout_seconds,
            headers=self._headers(),
            auth=self._basic(),
            verify=self._trust() if source.url.startswith("https:") else False,
            trust_env=not source.is_loopback,
            follow_redirects=False,
        )

    def _trust(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._source.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise self._error(
                f"that ca_file {self._source.ca_file} cannot be used ({error.strerror or error})",
                "give a PEM file that this worker can read",
            ) from None

    def _body(self, answer: httpx.Response, end: float) -> bytes:
        """httpx bounds each part; who sends one byte a second would be listened to for ever."""
        body = bytearray()
        for part in answer.iter_bytes():
            body += part
            if time.monotonic() > end:
                raise self._slow()
            if len(body) > MOST_BYTES:
                raise self._error(
                    f"an answer of more than {MOST_BYTES // 2**20} MB", "narrow it by `selector`"
                )
        return bytes(body)

    def _checked(self, answer: httpx.Response, body: bytes) -> Answer:
        status = answer.status_code
        if answer.is_success:
            return Answer(body, refused=False)
        if status in REFUSED:
            return Answer(body, refused=True)
        if status in (401, 403):
            raise self._error(
                f"HTTP {status}", "it wants to know who asks: check `authentication` of its metrics"
            )
        if answer.is_redirect:
            raise self._error(f"HTTP {status}, sent elsewhere", "give the address where it is now")
        if status == 404:
            raise self._error(f"HTTP {status}", "give the address of its API, with its prefix")
        raise self._error(f"HTTP {status} {said(body)}", "it is ill or busy; see its log")

    def _check_clock(self, answer: httpx.Response) -> None:
        try:
            theirs = parsedate_to_datetime(answer.headers["date"])
            skew = (datetime.now(UTC) - theirs).total_seconds()
        except (KeyError, ValueError, TypeError):
            return
        if abs(skew) > MOST_SKEW_SECONDS:
            raise self._error(
                f"a clock that is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} ours, or an old answer from a cache",
                "set both clocks (NTP), and ask it without a cache",
            )

    # ---- who asks --------------------------------------------------------------------------------

    def _headers(self) -> dict[str, str]:
        asks = self._source.authentication
        if asks is None or asks.user is not None:
            return {}
        return {"Authorization": f"Bearer {self._secret(asks)}"}

    def _basic(self) -> httpx.BasicAuth | None:
        asks = self._source.authentication
        if asks is None or asks.user is None:
            return None
        return httpx.BasicAuth(asks.user, self._secret(asks))

    def _secret(self, asks: Authentication) -> str:
        """Read anew each time: it may have been changed."""
        if asks.variable is not None:
            where, found = f"${asks.variable}", os.environ.get(asks.variable, "")
        else:
            where, found = str(asks.file), self._in_file(str(asks.file))
        found = found.strip("\r\n")
        if not found:
            raise self._error(f"no secret in {where}", "give the worker one")
        if not (found.isascii() and found.isprintable()):
            raise self._error(f"a secret in {where} that no header can hold", "write it anew")
        return found

    def _in_file(self, path: str) -> str:
        try:
            return Path(path).read_bytes()[:65536].decode("utf-8", "replace")
        except OSError as error:
            raise self._error(
                f"{path} unreadable ({error.strerror})", "let the worker read it"
            ) from None

    # ---- errors ----------------------------------------------------------------------------------

    def _slow(self) -> MetricsUnreadableError:
        return self._error(
            f"no whole answer within {self._source.timeout_seconds:g} s",
            "it is overloaded or hangs: see its log, or raise timeout_seconds",
        )

    def _error(self, found: str, then: str) -> MetricsUnreadableError:
        return MetricsUnreadableError(
            f"asked Prometheus at {self._source.url}; found {found}; {then}"
        )
