"""The way back must not hang on what only shows it."""

import dataclasses
import urllib.request

import pytest

from flows.load import LoadGenerator
from tests.e2e.conftest import Bakewell, MakeService
from tests.support.engines import free_port

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(300)]


def test_users_are_brought_back_while_prefect_is_down_and_it_is_said_that_it_could_not_be_shown(
    bakewell: Bakewell, make_service: MakeService
) -> None:
    service = make_service("back")
    service.edit(
        lambda spec: spec.update(
            environments=[{**spec["environments"][-1], "strategy": {"kind": "all-at-once"}}]
        )
    )
    for version in (1, 2):
        service.version(version)
        assert bakewell("release", service.folder).code == 0
    (place,) = bakewell("status", "back", "--json").json
    with LoadGenerator(place["endpoint"], 50) as load:
        back = without_prefect(bakewell, free_port())("rollback", "back", "production", "--json")
        seen = load.stop()
    assert (back.code, back.json["release"]) == (0, "r1"), back.err
    assert "WARN back production: users are back on r1" in " ".join(back.err.split())
    assert "Prefect could not show it" in back.err
    assert (seen.failures, seen.errors) == (0, 0)
    with urllib.request.urlopen(place["endpoint"], timeout=5) as answer:
        assert answer.headers["x-version"] == "1"
    again = bakewell("rollback", "back", "production")
    assert again.code == 2, "r2 was rolled back: it is no target"


def without_prefect(bakewell: Bakewell, port: int) -> Bakewell:
    """The same home; nothing listens where Prefect's server should be."""

    class Unreachable(Bakewell):
        @property
        def environment(self) -> dict[str, str]:
            return {**super().environment, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}

    return Unreachable(
        **{one.name: getattr(bakewell, one.name) for one in dataclasses.fields(bakewell)}
    )
