"""The story a user sees: first release, a good one, a bad one, back, and nothing to do."""

import pytest

from flows.load import LoadGenerator
from tests.e2e.conftest import Bakewell, MakeService

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(400)]


def test_a_good_version_is_promoted_a_bad_one_is_rolled_back_and_users_see_only_its_own_errors(
    bakewell: Bakewell, make_service: MakeService
) -> None:
    service = make_service("story")
    assert bakewell("release", service.folder).code == 0
    unchanged = bakewell("release", service.folder, "--json")
    assert (unchanged.code, unchanged.json["outcome"]) == (0, "nothing changed, nothing rolled")
    endpoint = bakewell("status", "story", "--json").json[-1]["endpoint"]
    with LoadGenerator(endpoint, 100) as load:
        service.version(2)
        assert bakewell("release", service.folder).code == 0
        service.version(3, failure_share=0.2)
        bad = bakewell("release", service.folder)
        assert bad.code == 3, bad.err
        assert "roll back" in bad.err
        back = bakewell("rollback", "story", "production", "--reason", "to see it", "--json")
        assert back.json["release"] == "r1"
        again = bakewell("rollback", "story", "production", "--json")
        assert again.code == 2, "r2 was rolled back and r3 was never promoted: neither is a target"
        seen = load.stop()
    assert seen.failures == 0
    assert {one.version: one.errors for one in seen.versions if one.errors}.keys() == {"3"}
    assert bakewell("verify-journal").code == 0
    words = bakewell("history", "story").out
    assert "r3" in words
    digest = bakewell("status", "story", "--json").json[-1]["groups"][0]["digest"]
    assert bakewell("verify", f"story@{digest}").code == 0
    assert bakewell("down", "story").code == 0
    assert bakewell("status", "story", "--json").json[-1]["groups"] == []


def test_a_plan_shows_the_steps_and_changes_nothing(
    bakewell: Bakewell, make_service: MakeService
) -> None:
    service = make_service("planned")
    before = bakewell("history", "--json").json
    plan = bakewell("plan", service.folder, "--json")
    assert [place["environment"] for place in plan.json] == ["staging", "production"]
    assert all(place["steps"] for place in plan.json)
    assert bakewell("history", "--json").json == before
