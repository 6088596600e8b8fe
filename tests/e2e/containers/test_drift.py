"""Somebody tampers with running containers by hand: it is found, and healed by replacement of exactly those, under load."""

from pathlib import Path

import pytest

from flows.load import LoadGenerator
from tests.e2e.conftest import Bakewell
from tests.e2e.docker_service import Yard, dockerfile_service

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(400)]
DRIFTED = 6
RATE = 200
REPLICAS = 3


def tampered(there: Yard, one: str, other: str) -> dict[str, tuple[str, ...]]:
    """What somebody does to two of three containers while users are served: neither stops answering."""
    return {
        one: ("update", "--memory", "96m", "--memory-swap", "96m", one),
        other: ("exec", other, "sh", "-c", "id"),
    }


def test_exactly_the_containers_that_were_tampered_with_are_replaced_and_no_user_is_failed(
    bakewell: Bakewell, there: Yard, tmp_path: Path
) -> None:
    service = dockerfile_service(tmp_path, "adrift", there, replicas=REPLICAS)
    assert bakewell("release", service.folder).code == 0
    (place,) = bakewell("status", service.name, "--json").json
    fine = bakewell("drift", service.name, "--json")
    assert fine.code == 0, f"nothing was touched: {fine.out} {fine.err}"
    before = set(there.containers(service.name))
    one, other, kept = sorted(before)
    with LoadGenerator(place["endpoint"], RATE) as load:
        for words in tampered(there, one, other).values():
            there.docker(*words)
        found = bakewell("drift", service.name)
        assert found.code == DRIFTED, found.out + found.err
        assert set(there.containers(service.name)) == before, "a report changes nothing"
        healed = bakewell("drift", service.name, "--heal")
        assert healed.code == 0, healed.out + healed.err
        after = set(there.containers(service.name))
        again = bakewell("drift", service.name)
        assert again.code == 0, again.out + again.err
        seen = load.stop()
    assert (seen.failures, seen.errors) == (0, 0), f"{seen.failed} {seen.versions}"
    assert len(after) == REPLICAS
    assert after & before == {kept}
    for name in (one, other):
        assert name.removeprefix(f"{service.name}-production-") in found.out + found.err
    assert bakewell("verify-journal").code == 0
    assert bakewell("down", service.name).code == 0
