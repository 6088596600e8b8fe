"""What a service may say, whoever builds it: the file, a test, a program."""

import pytest
from pydantic import ValidationError

from tasks.recipes import Bake
from tasks.service import (
    AllAtOnce,
    Canary,
    EnvironmentSpec,
    Observe,
    PlatformName,
    ServiceSpec,
)

DIGEST = f"sha256:{'0' * 64}"
BAKE = Bake(files={"a.py": "/a.py"}, command=["python3", "/a.py"])
STAGING = EnvironmentSpec(name="staging", platform=PlatformName.PROCESS, listen_port=8080)


def place(name: str, listen_port: int = 0) -> EnvironmentSpec:
    return EnvironmentSpec(name=name, platform=PlatformName.PROCESS, listen_port=listen_port)


def service(*places: EnvironmentSpec, repository: str | None = None) -> ServiceSpec:
    return ServiceSpec(service="hello", repository=repository, bake=BAKE, environments=places)


def test_an_environment_is_found_by_its_name() -> None:
    spec = service(STAGING, place("production"))
    found = spec.environment("staging")
    assert found is not None
    assert (found.key, found.platform, found.listen_port) == ("hello-staging", "process", 8080)
    assert spec.environment("nowhere") is None


def test_a_service_survives_the_journal() -> None:
    spec = service(STAGING, place("production"))
    assert ServiceSpec.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    "base",
    [
        "scratch",
        f"localhost:5000/a/b@{DIGEST}",
        f"layout:../b@{DIGEST}",
        f"r.io/p:3@{DIGEST}",
    ],
)
def test_a_base_is_named_by_digest(base: str) -> None:
    assert Bake(base=base, files={"a": "/a"}, command=["a"]).base == base


@pytest.mark.parametrize(
    "base",
    [
        "",
        "python",
        "python:3.12",
        f"python@{DIGEST}",
        "r.io/p:3",
        f"r.io/p@{DIGEST}0",
        "layout:b",
    ],
)
def test_anything_else_is_no_base(base: str) -> None:
    with pytest.raises(ValidationError, match="because a tag can move"):
        Bake(base=base, files={"a": "/a"}, command=["a"])


@pytest.mark.parametrize(
    "repository",
    [
        "localhost/a",
        "127.0.0.1:5000/hello",
        "[::1]:5000/hello",
        "registry:5000/hello",
        "registry.example.com/team/hello_world.x--y",
        "layout:/var/artifacts",
        "memory:test",
    ],
)
def test_a_repository_has_a_host_and_a_name(repository: str) -> None:
    assert service(STAGING, repository=repository).repository == repository


@pytest.mark.parametrize(
    "repository",
    [
        "",
        "hello",
        "team/hello",
        "r.io/",
        "r.io/Hello",
        "r.io/a:1",
        f"r.io/a@{DIGEST}",
        "http://r.io/a",
        "layout:here",
    ],
)
def test_anything_else_is_no_repository(repository: str) -> None:
    with pytest.raises(ValidationError, match=r"allowed: `host\[:port\]/name`"):
        service(STAGING, repository=repository)


def test_a_canary_may_be_as_large_as_what_serves_but_not_larger() -> None:
    strategy = Canary(replicas=2, baseline=2)
    EnvironmentSpec(name="a", platform=PlatformName.PROCESS, replicas=2, strategy=strategy)
    with pytest.raises(
        ValidationError, match=r"strategy.replicas: found 2 canary instances, more than the 1"
    ):
        EnvironmentSpec(name="a", platform=PlatformName.PROCESS, replicas=1, strategy=strategy)


def test_all_contradictions_of_a_part_are_told() -> None:
    with pytest.raises(ValidationError) as refused:
        Observe(interval_seconds=50, minimum_seconds=50, deadline_seconds=40, patience_seconds=30)
    assert str(refused.value).count("found 50") == 2
    assert "patience_seconds: found 30, shorter than interval_seconds (50)" in str(refused.value)


def test_a_soak_as_long_as_the_deadline_can_be_promoted() -> None:
    assert Observe(minimum_seconds=40, deadline_seconds=40).minimum_seconds == 40


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ((place("a"), place("a")), "'a' is the name of another environment already"),
        ((place("a", 80), place("b", 80)), "another environment listens on 80 already"),
    ],
)
def test_environments_differ(places: tuple[EnvironmentSpec, ...], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        service(*places)


def test_environments_whose_ports_are_chosen_do_not_clash() -> None:
    assert len(service(place("a"), place("b")).environments) == 2


def test_numbers_have_an_end() -> None:
    with pytest.raises(ValidationError, match="finite number"):
        Observe(deadline_seconds=float("inf"))


def test_a_strategy_keeps_its_kind() -> None:
    spec = EnvironmentSpec(name="a", platform=PlatformName.PROCESS, strategy=AllAtOnce())
    assert EnvironmentSpec.model_validate_json(spec.model_dump_json()).strategy == AllAtOnce()


def test_it_is_watched_as_long_as_the_way_back_is_warm_if_it_was_observed_before() -> None:
    canary = place("a")
    unobserved = canary.model_copy(update={"strategy": AllAtOnce()})
    assert canary.watched_seconds == canary.warm_seconds == 600
    assert unobserved.watched_seconds == 0
    told = Observe(watch_seconds=30)
    assert canary.model_copy(update={"observe": told}).watched_seconds == 30
    assert unobserved.model_copy(update={"observe": told}).watched_seconds == 30
