"""The engine is restarted under a rollout: its containers are gone, users are not served; it ends safely, and says why.

The rollout goes on by itself: what died is replaced as soon as the engine answers, and nothing of it is held against the
candidate. Here nobody asks it anything any more, so it ends without a verdict.
"""

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import QUICK, Bakewell, Service
from tests.e2e.docker_service import Yard, dockerfile_service
from tests.support.asking import ask
from tests.support.engines import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(400)]
LONG = {**QUICK, "minimum_seconds": 15.0, "deadline_seconds": 25.0}


def place(bakewell: Bakewell, service: Service) -> Any:
    (found,) = bakewell("status", service.name, "--json").json
    return found


def is_observed(bakewell: Bakewell, service: Service, rollout: subprocess.Popen[str]) -> bool:
    assert rollout.poll() is None, rollout.communicate()
    return any(0 < (one["weight"] or 0) < 100 for one in place(bakewell, service)["groups"])


def test_an_engine_restarted_under_a_rollout_leaves_users_with_what_served_before(
    bakewell: Bakewell, there: Yard, tmp_path: Path
) -> None:
    service = dockerfile_service(tmp_path, "fallen", there, observe=LONG)
    assert bakewell("release", service.folder).code == 0
    endpoint = place(bakewell, service)["endpoint"]
    service.version(2)
    rollout = bakewell.start("release", service.folder)
    wait_for(lambda: is_observed(bakewell, service, rollout), 90, "the canary's traffic", every=0.5)
    there.engine.stop()
    time.sleep(2)
    there.engine.start()
    for _ in range(20):  # users, of whom none can be served now
        ask(endpoint)
    out, err = rollout.communicate(timeout=180)
    assert rollout.returncode != 0, out + err
    assert "inconclusive: no verdict within 25 s" in err
    healed = bakewell("drift", service.name, "--heal")
    assert healed.code == 0, healed.out + healed.err
    now = place(bakewell, service)
    assert now["problems"] == []
    assert [(one["name"], one["weight"]) for one in now["groups"]] == [("r1", 100)]
    assert ask(endpoint).headers["x-version"] == "1"
    assert bakewell("verify-journal").code == 0
    assert bakewell("down", service.name).code == 0
    assert there.containers(service.name) == []
