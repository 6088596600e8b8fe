"""A running digest is quarantined under load: it is replaced, no user notices, and it is not gone back to until it is lifted."""

import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from flows.load import LoadGenerator
from tests.e2e.conftest import QUICK, Bakewell, MakeService, Service

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(400)]
BAD_INPUT, STOPPED, REFUSED = 2, 3, 4
RATE = 100


def only_production(**observe: Any) -> Callable[[Any], None]:
    def change(spec: Any) -> None:
        spec["environments"] = [spec["environments"][-1]]
        spec["environments"][0].update(
            strategy={"kind": "canary", "weights": [30], "replicas": 1, "baseline": 1},
            observe={**QUICK, **observe},
        )

    return change


def groups(bakewell: Bakewell, service: Service) -> dict[str, Any]:
    (place,) = bakewell("status", service.name, "--json").json
    return {one["name"]: one for one in place["groups"]}


def endpoint(bakewell: Bakewell, service: Service) -> str:
    (place,) = bakewell("status", service.name, "--json").json
    found: str = place["endpoint"]
    return found


def test_a_running_digest_is_replaced_under_load_and_comes_back_only_when_it_is_lifted(
    bakewell: Bakewell, make_service: MakeService
) -> None:
    service = make_service("held")
    service.edit(only_production())
    assert bakewell("release", service.folder).code == 0
    with LoadGenerator(endpoint(bakewell, service), RATE) as load:
        service.version(2)
        assert bakewell("release", service.folder).code == 0
        digest = groups(bakewell, service)["r2"]["digest"]
        answer = bakewell("quarantine", digest, "--reason", "stolen key", "--replace", "--json")
        assert answer.code == 0, answer.err
        (done,) = answer.json["replaced"]
        assert (done["was"].split()[0], done["is_now"].split()[0]) == ("r2", "r1")
        assert answer.json["runs"] == []
        assert groups(bakewell, service).keys() == {"r1"}
        back = bakewell("rollback", service.name, "production")
        assert back.code == BAD_INPUT, back.err
        for words in ("it is quarantined", "stolen key", f"bakewell quarantine lift {digest}"):
            assert words in back.err
        again = bakewell("release", service.folder)
        assert again.code == REFUSED, again.err
        assert "it is quarantined" in again.err
        assert digest in bakewell("quarantine", "list").out
        assert digest in bakewell("status").out
        lifted = bakewell("quarantine", "lift", digest, "--reason", "a false alarm")
        assert lifted.code == 0, lifted.err
        target = bakewell("rollback", service.name, "production", "--json")
        assert (target.code, target.json["release"]) == (0, "r2"), target.err
        seen = load.stop()
    assert (seen.failures, seen.errors) == (0, 0), f"{seen.failed} {seen.versions}"
    assert {one.version for one in seen.versions} == {"1", "2"}
    history = bakewell("history").out
    assert f"the artifact {digest} is quarantined by" in history
    assert f"quarantine of the artifact {digest} lifted by" in history
    assert bakewell("verify-journal").code == 0
    assert bakewell("down", service.name).code == 0


def test_a_rollout_of_it_that_another_process_does_is_withdrawn_and_users_keep_being_served(
    bakewell: Bakewell, make_service: MakeService
) -> None:
    service = make_service("caught")
    service.edit(only_production(minimum_seconds=120.0, deadline_seconds=180.0))
    assert bakewell("release", service.folder).code == 0
    with LoadGenerator(endpoint(bakewell, service), RATE) as load:
        service.version(2)
        rollout = bakewell.start("release", service.folder)
        digest = once_observed(bakewell, service, rollout)
        reference = f"{service.name}@{digest}"
        answer = bakewell("quarantine", reference, "--reason", "stolen key", "--replace", "--json")
        out, err = rollout.communicate(timeout=60)
        seen = load.stop()
    assert rollout.returncode == STOPPED, out + err
    assert "roll back: it is quarantined" in err
    assert answer.code == 0, answer.err
    assert (answer.json["what"], answer.json["runs"]) == (digest, [])
    assert groups(bakewell, service).keys() == {"r1"}
    assert (seen.failures, seen.errors) == (0, 0), f"{seen.failed} {seen.versions}"
    assert bakewell("quarantine", "lift", reference, "--reason", "over").code == 0
    assert bakewell("down", service.name).code == 0


def once_observed(bakewell: Bakewell, service: Service, rollout: subprocess.Popen[str]) -> str:
    """The candidate's digest, as soon as users' requests reach it."""
    end = time.monotonic() + 90
    while time.monotonic() < end and rollout.poll() is None:
        found = groups(bakewell, service).get("r2")
        if found and found["weight"]:
            digest: str = found["digest"]
            return digest
    raise AssertionError("no request was ever sent to it")
