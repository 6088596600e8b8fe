"""The story of a Dockerfile service in real containers: promoted, stopped, gone back to, quarantined, taken down; users notice nothing."""

from pathlib import Path
from typing import Any

import pytest

from flows.load import LoadGenerator
from tests.e2e.conftest import Bakewell, Service
from tests.e2e.docker_service import Yard, dockerfile_service

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(600)]
BAD_INPUT, STOPPED = 2, 3
RATE = 200


def place(bakewell: Bakewell, service: Service) -> Any:
    (found,) = bakewell("status", service.name, "--json").json
    return found


def test_containers_are_promoted_stopped_gone_back_to_and_quarantined_and_no_user_is_failed(
    bakewell: Bakewell, there: Yard, tmp_path: Path
) -> None:
    service = dockerfile_service(tmp_path, "crate", there)
    first = bakewell("release", service.folder)
    assert first.code == 0, first.out + first.err
    with LoadGenerator(place(bakewell, service)["endpoint"], RATE) as load:
        service.version(2)
        good = bakewell("release", service.folder)
        assert good.code == 0, good.out + good.err
        service.version(3, failure_share=0.5)
        bad = bakewell("release", service.folder)
        assert bad.code == STOPPED, bad.out + bad.err
        back = bakewell("rollback", service.name, "production", "--reason", "to see it", "--json")
        assert (back.code, back.json["release"]) == (0, "r1"), back.err
        service.version(4, failure_share=0.0)
        assert bakewell("release", service.folder).code == 0
        (running,) = [one for one in place(bakewell, service)["groups"] if one["weight"] == 100]
        held = bakewell(
            "quarantine", running["digest"], "--reason", "stolen key", "--replace", "--json"
        )
        assert held.code == 0, held.err
        assert held.json["replaced"][0]["is_now"].split()[0] == "r1"
        seen = load.stop()
    assert seen.failures == 0, seen.failed
    assert {one.version for one in seen.versions if one.errors} <= {"3"}
    assert {one.version for one in seen.versions} >= {"1", "2", "4"}
    assert bakewell("verify-journal").code == 0
    assert bakewell("down", service.name).code == 0
    assert there.containers() == []
    assert there.networks() == set()
    assert there.images() == []
    marks = [one.environ().get("BAKEWELL_ENVIRONMENT") for one in bakewell.processes()]
    assert f"{service.name}-production" not in marks, "its splitter still runs"
