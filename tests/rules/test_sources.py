"""What service.yaml may say about metrics and SLIs, and what is refused before anything is asked."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.adapters.prometheus_queries import labelled
from tasks.sources import GaugeSli, PrometheusSource, RatioSli, Sli, labels_in

URL = "http://prometheus.example.com:9090"


def source(**settings: Any) -> PrometheusSource:
    return PrometheusSource.model_validate({"url": URL, **settings})


def refusal(**settings: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        source(**settings)
    return str(refused.value)


def sli(**settings: Any) -> Sli:
    found: Sli = TypeAdapter[Sli](Sli).validate_python({"name": "paid", **settings})
    return found


def test_an_address_is_enough() -> None:
    signals = source().signals
    assert signals.requests == "http_requests_total"
    assert signals.failures == 'http_requests_total{code=~"5.."}'
    assert signals.latency == "http_request_duration_seconds_bucket"


def test_what_is_named_replaces_what_the_exporter_says() -> None:
    found = source(latency="none").signals
    assert (found.requests, found.latency) == ("http_requests_total", "")
    own = source(exporter="own", requests="a_total", failures='a_total{ok="no"}').signals
    assert (own.requests, own.failures, own.latency) == ("a_total", 'a_total{ok="no"}', "")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"url": "http://u:secret@prometheus:9090"}, "use `authentication`"),
        ({"url": "https://prometheus/?token=secret"}, "use `authentication`"),
        ({"url": "prometheus:9090"}, "found no address"),
        ({"url": "http://[::1"}, "found no address"),
        ({"url": "http://h:99999"}, "found no address"),
        ({"requests": "sum(rate(a_total[5m]))", "failures": "b"}, "should match pattern"),
        ({"requests": "rate(a_total)", "failures": "b"}, "should match pattern"),
        ({"requests": "a_total"}, "name both, or neither"),
        ({"exporter": "own"}, "`own` needs `requests` and `failures`"),
        ({"scrape_seconds": 60}, "what is alive would look stale"),
        ({"authentication": {"variable": "TOKEN"}}, "the secret could be read on the way"),
        ({"authentication": {"user": "me"}}, "either `variable` or `file`"),
        ({"authentication": {"variable": "A", "file": "/b"}}, "either `variable` or `file`"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, Any], told: str) -> None:
    found = refusal(**settings)
    assert told in found


@pytest.mark.parametrize(
    "selector",
    [
        "a",
        'a{b="c"}',
        '{__name__=~"a|b"}',
        'a:b{c!~"x\\"y", d=""}',
        " a { b = 'c' } ".replace("'", '"'),
    ],
)
def test_selectors_are_taken(selector: str) -> None:
    assert source(requests=selector, failures=selector).signals.requests == selector


def test_a_selector_is_narrowed_by_labels_that_are_quoted() -> None:
    assert labelled("a", {}) == "a"
    assert labelled("a", {"c": 'x"y', "b": "z"}) == 'a{b="z", c="x\\"y"}'
    assert labelled('a{ d=~"e" , }', {"b": "c"}) == 'a{d=~"e", b="c"}'
    assert labelled('{__name__="a"}', {"b": "c"}) == '{__name__="a", b="c"}'
    assert labels_in('a{ d=~"e=\\"f" , g!="h"}') == ("d", "g")


def test_a_ratio_says_what_is_bad_or_what_is_good() -> None:
    assert isinstance(sli(kind="ratio", good="a", total="b"), RatioSli)
    for settings in ({}, {"good": "a", "bad": "b"}):
        with pytest.raises(ValidationError, match="either `bad` or `good`"):
            sli(kind="ratio", total="b", **settings)


def test_only_a_gauge_may_be_any_expression() -> None:
    assert isinstance(sli(kind="gauge", query="a / (a + b)"), GaugeSli)
    with pytest.raises(ValidationError, match="should match pattern"):
        sli(kind="histogram", buckets="a + b", threshold=1)
