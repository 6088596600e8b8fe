"""What Envoy is told, what it says, and what its counters mean: without an Envoy."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.adapters import envoy_config, envoy_stats
from tasks.adapters.envoy_config import ALL_MS, BOUNDS_MS, Endpoint, Routing

A, B, C = (
    Endpoint("r1", f"r1-{name}", f"127.0.0.1:{port}")
    for name, port in zip("abc", (1, 2, 3), strict=True)
)
OTHER = Endpoint("r2", "r2-a", "127.0.0.1:4")


def routing(weights: dict[str, int], *endpoints: Endpoint) -> Routing:
    return Routing(weights, endpoints, 8080)


def test_a_group_that_loses_its_users_keeps_its_instances_until_it_has() -> None:
    now, wanted = routing({"r1": 100}, A, B), routing({"r1": 10, "r2": 90}, A, OTHER)
    assert envoy_config.meanwhile(now, wanted) == (A, B, OTHER)


def test_a_group_that_keeps_its_users_has_its_new_instances_at_once() -> None:
    now, wanted = routing({"r1": 100}, A, B), routing({"r1": 100}, C)
    assert envoy_config.meanwhile(now, wanted) == (C,)


def test_who_has_the_address_or_the_name_of_another_takes_its_place_at_once() -> None:
    same_address, same_name = (
        Endpoint("r1", "r1-z", A.address),
        Endpoint("r1", "r1-b", "127.0.0.1:9"),
    )
    now, wanted = routing({"r1": 100}, A, B), routing({"r1": 0, "r2": 100}, same_address, same_name)
    assert set(envoy_config.meanwhile(now, wanted)) == {same_address, same_name}


def test_of_a_group_that_is_dropped_nothing_is_changed_before_its_users_are_gone() -> None:
    """It stays with what it has, in a file that is not written: so it is none of what is wanted meanwhile."""
    assert envoy_config.meanwhile(routing({"r1": 100}, A), routing({"r2": 100}, OTHER)) == (OTHER,)


def test_where_no_envoy_runs_nobody_is_left_to_be_kept() -> None:
    assert envoy_config.meanwhile(None, routing({"r1": 100}, A)) == (A,)


POOL = (A, B, C, OTHER)
SHARES = st.integers(0, 100).map(lambda share: {"r1": share, "r2": 100 - share})
ROUTINGS = st.builds(
    lambda weights, endpoints: routing(weights, *sorted(endpoints)),
    SHARES,
    st.sets(st.sampled_from(POOL)),
)


@given(ROUTINGS, ROUTINGS)
def test_no_group_that_has_users_and_instances_is_ever_without_instances(
    now: Routing, wanted: Routing
) -> None:
    """Before its users are gone, unless it is wanted without instances and with no fewer users."""
    there = {one.group for one in envoy_config.meanwhile(now, wanted)}
    for group, weight in now.weights.items():
        serves = any(one.group == group for one in now.endpoints)
        if weight and serves and wanted.weights[group] < weight:
            assert group in there


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (routing({"r1": 100}, A), ""),
        (routing({}), ""),
        (routing({"r1": 0}, A), ""),
        (routing({"r1": 99}, A), "not shares of 100"),
        (routing({"r1": 150, "r2": -50}, A), "not shares of 100"),
        (routing({"r1": 100}, Endpoint("r1", "r1.a", "127.0.0.1:1")), "r1.a"),
        (routing({"../r1": 100}), "../r1"),
        (routing({"": 100}), "names"),
    ],
)
def test_what_envoy_would_not_do_or_not_count_is_named(wanted: Routing, problem: str) -> None:
    found = envoy_config.why_not(wanted)
    assert problem in found
    assert bool(found) == bool(problem)


def dump(weights: dict[str, int]) -> dict[str, Any]:
    return {"configs": [{"route_config": one} for one in envoy_config.routes(weights)]}


@given(SHARES)
def test_weights_are_read_back_as_they_were_written(weights: dict[str, int]) -> None:
    assert envoy_config.weights_of(dump(weights)) == weights


@pytest.mark.parametrize("nothing", [{}, {"r1": 0}])
def test_where_nothing_is_routed_users_get_a_503_that_says_so(nothing: dict[str, int]) -> None:
    (host,) = envoy_config.routes(nothing)[0]["virtual_hosts"]
    assert host["routes"][0]["direct_response"]["status"] == 503
    assert envoy_config.weights_of(dump(nothing)) == {}


def counter(instance: str, what: str, value: int, group: str = "r1") -> dict[str, Any]:
    return {"name": f"cluster.{group}.zone.splitter.{instance}.upstream_rq_{what}", "value": value}


def histogram(instance: str, counts: dict[float, int]) -> dict[str, Any]:
    buckets = [
        {"upper_bound": bound, "interval": 0, "cumulative": counts.get(bound, 0)}
        for bound in (*BOUNDS_MS, ALL_MS)
    ]
    name = f"cluster.r1.zone.splitter.{instance}.upstream_rq_time"
    return {"histograms": [{"name": name, "buckets": buckets}]}


def test_counters_become_the_traffic_of_each_instance() -> None:
    stats = [
        counter("r1-a", "completed", 7),
        counter("r1-a", "5xx", 2),
        counter("r1-b", "completed", 3),
        counter("r1-a", "200", 5),
        {"name": "cluster.r1.upstream_rq_completed", "value": 10},
        histogram("r1-a", {1.0: 4, 250.0: 2, ALL_MS: 1}),
    ]
    first, second = envoy_stats.traffic_of({"stats": stats})
    assert (first.instance, first.requests, first.failures, first.latency.total) == (
        "r1-a",
        7,
        2,
        7,
    )
    by_bound = dict(zip(first.latency.bounds_ms, first.latency.counts, strict=False))
    assert (by_bound[1.0], by_bound[250.0], first.latency.counts[-1]) == (4, 2, 1)
    assert (second.instance, second.requests, second.failures, second.latency.total) == (
        "r1-b",
        3,
        0,
        0,
    )


@pytest.mark.parametrize("odd", [{}, {"stats": None}, {"stats": [{"histograms": [{}]}]}, []])
def test_words_that_are_no_counters_are_no_empty_reading(odd: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        envoy_stats.traffic_of(odd)


def test_a_histogram_with_other_bounds_is_not_read_as_ours() -> None:
    foreign = histogram("r1-a", {})
    foreign["histograms"][0]["buckets"].pop(3)
    with pytest.raises(KeyError):
        envoy_stats.traffic_of({"stats": [foreign, counter("r1-a", "completed", 1)]})


def test_two_envoys_never_share_a_port_in_silence() -> None:
    (users,) = envoy_config.listener(Path("here"), 8080)
    assert users["enable_reuse_port"] is False
