"""Prefect's HTTP API, as far as others than flows need it: begin a run, wake a suspended one, see what became of it.

Its own client would take two seconds to import and is not for those who only knock (measured: `import prefect` 1.7 s). The API
is open to whoever reaches it; $PREFECT_API_AUTH_STRING is sent where it is set.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self
from urllib.parse import quote

import httpx
from pydantic import JsonValue

from tasks.adapters.prefect_server import TERMINAL
from tasks.errors import InvalidInputError, NotFoundError, TransientError

AUTHORIZATION: Final = "PREFECT_API_AUTH_STRING"
SECONDS: Final = 10.0


@dataclass(frozen=True)
class FlowRun:
    """`state` is Prefect's type in capitals (SCHEDULED, RUNNING, PAUSED, …), `state_name` what people see (Suspended), `since`
    when it came into it."""

    id: str
    name: str
    state: str
    state_name: str
    parameters: Mapping[str, JsonValue]
    since: datetime

    @property
    def has_ended(self) -> bool:
        return self.state in TERMINAL


class PrefectApi:
    """`api` is the URL that ends in `/api`. Every method: TransientError if nobody answers, or answers 5xx."""

    def __init__(self, api: str) -> None:
        auth = os.environ.get(AUTHORIZATION, "")
        user, _, password = auth.partition(":")
        self._api = api.rstrip("/")
        self._client = httpx.Client(
            base_url=self._api,
            timeout=SECONDS,
            auth=(user, password) if auth else None,
            verify=self._api.startswith("https:"),  # to load certificates takes longer than to ask
            limits=httpx.Limits(max_keepalive_connections=0),  # nobody has to close it
        )

    @property
    def address(self) -> str:
        return self._api

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back; whoever asks only once may leave that to the end of the process."""
        self._client.close()

    @property
    def url(self) -> str:
        return self._api

    def create_run(
        self,
        deployment: str,
        parameters: Mapping[str, JsonValue],
        *,
        key: str,
        tags: Sequence[str] = (),
        name: str = "",
    ) -> FlowRun:
        """A run of `flow/deployment`. The same `key` again gives the first run, whatever the parameters now are. `name`: what
        people see until it begins; Prefect invents one where it is empty.

        NotFoundError if there is no such deployment, InvalidInputError if the parameters do not fit.
        """
        there = self.deployment(deployment)
        body = {"parameters": dict(parameters), "idempotency_key": key, "tags": list(tags)}
        body |= {"name": name} if name else {}
        return _run(self._ask("POST", f"/deployments/{there}/create_flow_run", body))

    def deployment(self, name: str) -> str:
        """The id of `flow/deployment`. NotFoundError if there is none."""
        flow, _, own = name.partition("/")
        return str(self._ask("GET", f"/deployments/name/{quote(flow)}/{quote(own)}")["id"])

    def run(self, run: str) -> FlowRun:
        """NotFoundError if Prefect does not know it (any more)."""
        return _run(self._ask("GET", f"/flow_runs/{run}"))

    def resume(self, run: str, form: Mapping[str, JsonValue] | None = None) -> bool:
        """Wake a paused or suspended run, with the answers to its form. False if it does not wait (any more).

        InvalidInputError if the answers do not fit its form.
        """
        body = {"run_input": dict(form)} if form is not None else {}
        said = self._ask("POST", f"/flow_runs/{run}/resume", body)
        if said.get("status") == "REJECT":  # with status 200
            reason = (said.get("details") or {}).get("reason") or "no reason given"
            raise InvalidInputError(f"asked Prefect to resume run {run}; it refused: {reason}")
        return bool(said.get("status") == "ACCEPT")

    def inputs(self, run: str, prefix: str) -> list[tuple[str, str]]:
        """What was written into the forms of a run, oldest first: keys that begin with `prefix`, and their JSON."""
        found = self._ask(
            "POST", f"/flow_runs/{run}/input/filter", {"prefix": prefix, "limit": 200}
        )
        ordered = sorted(found, key=lambda one: str(one.get("created")))
        return [(str(one["key"]), str(one["value"])) for one in ordered]

    def set_state(self, run: str, kind: str, name: str, message: str) -> None:
        """Show a run in a state, whatever it was in. For the eye: it stops nothing that still runs."""
        state = {"type": kind, "name": name, "message": message}
        self._ask("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})

    def cancel(self, run: str, reason: str) -> None:
        """Have a run end: one that runs gets 30 s to clean up, one that waits or was not begun ends at once. One that has
        ended stays as it is."""
        state = {"type": "CANCELLING", "name": "Cancelling", "message": reason}
        self._ask("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": False})

    def delete(self, run: str) -> None:
        """NotFoundError if Prefect does not know it (any more)."""
        self._ask("DELETE", f"/flow_runs/{run}")

    def runs(self, filters: Mapping[str, JsonValue], limit: int = 200) -> list[FlowRun]:
        """Newest first; `filters` is Prefect's `flow_runs` filter."""
        body = {"flow_runs": dict(filters), "sort": "START_TIME_DESC", "limit": limit}
        return [_run(one) for one in self._ask("POST", "/flow_runs/filter", body)]

    def runs_in_pool(self, pool: str, states: Sequence[str], limit: int = 200) -> list[FlowRun]:
        """Runs of a work pool that are in one of these states (in capitals)."""
        body = {
            "flow_runs": {"state": {"type": {"any_": list(states)}}},
            "work_pools": {"name": {"any_": [pool]}},
            "sort": "START_TIME_DESC",
            "limit": limit,
        }
        return [_run(one) for one in self._ask("POST", "/flow_runs/filter", body)]

    def ensure_process_pool(self, pool: str) -> None:
        """A pool of that name, for workers that start processes; one that is there is left as it is."""
        try:
            self._ask("GET", f"/work_pools/{quote(pool)}")
        except NotFoundError:
            self._ask("POST", "/work_pools/", {"name": pool, "type": "process"})

    def deployments(self, tag: str) -> dict[str, str]:
        """Ids by name (`flow/deployment`) of those that carry the tag."""
        flows = {one["id"]: one["name"] for one in self._all("/flows/filter", {})}
        wanted = {"deployments": {"tags": {"all_": [tag]}}}
        found = self._all("/deployments/filter", wanted)
        return {f"{flows.get(one['flow_id'], '?')}/{one['name']}": one["id"] for one in found}

    def delete_deployment(self, deployment: str) -> None:
        """By id. One that is gone already is fine: somebody else was quicker."""
        with suppress(NotFoundError):
            self._ask("DELETE", f"/deployments/{deployment}")

    def _all(self, path: str, body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Page by page: the server gives at most 200 at once."""
        found: list[Mapping[str, Any]] = []
        while True:
            page = self._ask("POST", path, {**body, "limit": 200, "offset": len(found)})
            found.extend(page)
            if len(page) < 200:
                return found

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        asked = f"asked Prefect at {self._api} for {path}"
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise TransientError(
                f"{asked}; it did not answer: {str(error) or type(error).__name__}"
            ) from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise TransientError(f"{asked}; it answered {answer.status_code}")
        if answer.status_code == 404:
            raise NotFoundError(
                f"{asked}; there is no such thing. Were the deployments written to it (`bakewell up`)?"
            )
        if answer.status_code >= 400:
            raise InvalidInputError(
                f"{asked}; it refused ({answer.status_code}): {answer.text[:500]}"
            )
        return answer.json() if answer.content else {}


def _run(found: Mapping[str, Any]) -> FlowRun:
    state = found.get("state") or {}
    kind, name = found.get("state_type") or state.get("type"), found.get("state_name")
    parameters = found.get("parameters") or {}
    since = datetime.fromisoformat(str(state.get("timestamp") or found["created"]))
    return FlowRun(
        found["id"], found["name"], str(kind), str(name or state.get("name")), parameters, since
    )
