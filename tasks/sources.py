"""Where an environment's counters come from, and what else is asked there: `metrics` and `slis` of `service.yaml`. Pure.

Counters are given as selectors, never as rate() or increase(): Bakewell differences the raw counters itself, between two
scrapes, so that every event is in exactly one batch. Secrets are named, never held (invariant 12).
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from tasks.settings import Contradiction, Name, Part, Variable

MATCHER: Final = r'[a-zA-Z_]\w*\s*(=~|!~|!=|=)\s*"([^"\\]|\\.)*"'
MATCHERS: Final = rf"\{{\s*({MATCHER}\s*(,\s*{MATCHER}\s*)*,?\s*)?\}}"
SELECTOR: Final = rf"([a-zA-Z_:][a-zA-Z0-9_:]*\s*({MATCHERS})?|{MATCHERS})"
RESERVED: Final = ("errors", "memory")

Selector = Annotated[
    str,
    Field(
        pattern=rf"^\s*{SELECTOR}\s*$",
        max_length=2000,
        description='a metric with labels, such as http_requests_total{code=~"5.."};'
        " without rate() or sum(), the raw counter is differenced between two scrapes",
    ),
]
Query = Annotated[str, Field(min_length=1, max_length=4000, description="a PromQL expression")]
Label = Annotated[str, Field(pattern=r"^[a-zA-Z_]\w*$", description="letters, digits, underscores")]
AbsolutePath = Annotated[str, Field(pattern="^/", description="an absolute path")]


class Unit(StrEnum):
    """Of the buckets of a latency histogram."""

    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"


class Exporter(StrEnum):
    """Who exports the counters, and so what they are called."""

    HTTP_SERVER = "http-server"
    FASTAPI = "fastapi"
    MICROMETER = "micrometer"
    OPENTELEMETRY = "opentelemetry"
    ISTIO = "istio"
    ENVOY = "envoy"
    OWN = "own"


@dataclass(frozen=True)
class Signals:
    """Selectors of what every instance counts. `latency` is empty where it is not measured."""

    requests: str
    failures: str
    latency: str
    unit: Unit


def _by_status(
    requests: str, label: str, latency: str, more: str = "", unit: Unit = Unit.SECONDS
) -> Signals:
    failed = f'{label}=~"5.."'
    among = f"{{{more}}}" if more else ""
    both = f"{more}, {failed}" if more else failed
    return Signals(f"{requests}{among}", f"{requests}{{{both}}}", f"{latency}{among}", unit)


PRESETS: Final = {
    Exporter.HTTP_SERVER: _by_status(
        "http_requests_total", "code", "http_request_duration_seconds_bucket"
    ),
    Exporter.FASTAPI: _by_status(
        "http_requests_total", "status", "http_request_duration_highr_seconds_bucket"
    ),
    Exporter.MICROMETER: _by_status(
        "http_server_requests_seconds_count", "status", "http_server_requests_seconds_bucket"
    ),
    Exporter.OPENTELEMETRY: _by_status(
        "http_server_request_duration_seconds_count",
        "http_response_status_code",
        "http_server_request_duration_seconds_bucket",
    ),
    # Only the side that serves knows which instance it was.
    Exporter.ISTIO: _by_status(
        "istio_requests_total",
        "response_code",
        "istio_request_duration_milliseconds_bucket",
        'reporter="destination"',
        Unit.MILLISECONDS,
    ),
    # A sidecar's own: its admin page is no user.
    Exporter.ENVOY: Signals(
        'envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix!="admin"}',
        'envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix!="admin", envoy_response_code_class="5"}',
        'envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix!="admin"}',
        Unit.MILLISECONDS,
    ),
}


class Authentication(Part):
    """Who asks. The secret itself stays where it is: in a variable of the worker's environment, or in a file."""

    user: str | None = Field(
        None, min_length=1, description="for a password (Basic); without it the secret is a token"
    )
    variable: Variable | None = Field(
        None, description="variable of the worker's environment that holds the password or token"
    )
    file: AbsolutePath | None = Field(
        None, description="file on the worker that holds the password or token"
    )

    def _contradictions(self) -> Iterator[Contradiction]:
        if (self.variable is None) == (self.file is None):
            yield ("variable",), "either `variable` or `file` must name where the secret is"


class PrometheusSource(Part):
    """A Prometheus, or what answers like one (Thanos, Mimir, VictoriaMetrics), that scrapes every instance."""

    kind: Literal["prometheus"] = Field("prometheus", description="what is asked")
    url: str = Field(
        description="where its API is: http://host:port[/prefix], without user or query"
    )
    exporter: Exporter = Field(
        Exporter.HTTP_SERVER, description="who exports the counters; `own`: name them below"
    )
    requests: Selector | None = Field(None, description="counter of all requests")
    failures: Selector | None = Field(None, description="counter of those that failed")
    latency: Selector | None = Field(
        None,
        description="histogram of how long they took: …_bucket, or a native one; `none` if there is none",
    )
    latency_unit: Unit | None = Field(None, description="unit of the histogram; default: seconds")
    selector: dict[Label, str] = Field(
        default_factory=dict, description="labels of all its series, such as job and namespace"
    )
    instance_label: Label = Field(
        "instance", description="label that holds an instance's address or name; `pod` is common"
    )
    scrape_seconds: float = Field(
        15, ge=0.2, le=600, description="its scrape interval; readings are taken at its multiples"
    )
    max_staleness_seconds: float = Field(
        90, gt=0, le=3600, description="an older scrape is no sign of life"
    )
    timeout_seconds: float = Field(10, gt=0, le=120, description="for one answer")
    authentication: Authentication | None = Field(None, description="who asks, if it wants to know")
    ca_file: AbsolutePath | None = Field(
        None, description="PEM file of who signs its certificate; default: the system's"
    )

    @field_validator("url")
    @classmethod
    def _only_an_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError as error:
            raise ValueError("found no address; allowed: http://host:port[/prefix]") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("found no address; allowed: http://host:port[/prefix]")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "found a user, a query or a fragment in it; secrets would be journalled: use `authentication`"
            )
        return value.rstrip("/")

    def _contradictions(self) -> Iterator[Contradiction]:
        if (self.requests is None) != (self.failures is None):
            missing = "failures" if self.failures is None else "requests"
            yield (missing,), "`requests` and `failures` belong together: name both, or neither"
        if self.exporter is Exporter.OWN and self.requests is None:
            yield ("exporter",), "`own` needs `requests` and `failures`"
        if self.max_staleness_seconds < 2 * self.scrape_seconds:
            yield (
                ("max_staleness_seconds",),
                (
                    f"found {self.max_staleness_seconds:g}, less than two scrapes of {self.scrape_seconds:g} s:"
                    " what is alive would look stale"
                ),
            )
        if self.authentication and self.url.startswith("http://") and not self.is_loopback:
            yield ("url",), "with http the secret could be read on the way; use https"

    @property
    def is_loopback(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def signals(self) -> Signals:
        """The exporter's, with those that are named here instead."""
        preset = PRESETS.get(self.exporter, Signals("", "", "", Unit.SECONDS))
        latency = preset.latency if self.latency is None else self.latency
        return Signals(
            self.requests or preset.requests,
            self.failures or preset.failures,
            "" if latency.strip() == "none" else latency,
            self.latency_unit or preset.unit,
        )


# ---- custom SLIs ---------------------------------------------------------------------------------


class RatioSli(Part):
    """Bad events of all: log-ins refused, payments declined, cache misses."""

    kind: Literal["ratio"] = Field("ratio", description="bad events of all events")
    name: Name = Field(description="what people call it")
    bad: Selector | None = Field(None, description="counter of bad events")
    good: Selector | None = Field(None, description="counter of good events, instead of `bad`")
    total: Selector = Field(description="counter of all events")
    margin: float | None = Field(
        None, gt=0, lt=1, description="a canary that may be worse by more is not promoted"
    )
    floor: float = Field(
        0.0005, ge=0, lt=1, description="smaller differences of shares never roll back"
    )

    def _contradictions(self) -> Iterator[Contradiction]:
        if (self.bad is None) == (self.good is None):
            yield ("bad",), "either `bad` or `good` must be named"


class HistogramSli(Part):
    """How something is distributed, higher being worse: payload sizes, queueing times."""

    kind: Literal["histogram"] = Field("histogram", description="how values are distributed")
    name: Name = Field(description="what people call it")
    buckets: Selector = Field(description="histogram: …_bucket, or a native one")
    threshold: float = Field(description="values above are bad; best a bound of a bucket")
    margin: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="a canary whose share above may be larger by more is not promoted",
    )


class Direction(StrEnum):
    """Which way a gauge gets worse."""

    HIGHER_IS_WORSE = "higher-is-worse"
    LOWER_IS_WORSE = "lower-is-worse"


class GaugeSli(Part):
    """A level of each instance: queue length, open connections, cache hit share. It can roll back, but not promote."""

    kind: Literal["gauge"] = Field("gauge", description="a level of each instance")
    name: Name = Field(description="what people call it")
    query: Query = Field(
        description="PromQL that gives one number for each instance, with its label"
    )
    direction: Direction = Field(Direction.HIGHER_IS_WORSE, description="which way it gets worse")
    wanders: bool = Field(
        True,
        description="it remembers (memory, queues), so its growth in a minute is compared; false: its value is",
    )
    floor: float = Field(
        0.0, ge=0, description="smaller differences never roll back, in its own unit"
    )


Sli = Annotated[RatioSli | HistogramSli | GaugeSli, Field(discriminator="kind")]


def doubtful_names(slis: Sequence[Sli]) -> Iterator[Contradiction]:
    """Names that are taken: each metric of the judge has its own."""
    for number, one in enumerate(slis):
        if one.name in RESERVED:
            yield (
                ("slis", number, "name"),
                f"{one.name!r} is what Bakewell calls a metric of its own",
            )
        if one.name in [other.name for other in slis[:number]]:
            yield ("slis", number, "name"), f"{one.name!r} is the name of another SLI already"


def labels_in(selector: str) -> tuple[str, ...]:
    """Names of the labels it matches."""
    return tuple(
        found.group(0) for found in re.finditer(r'[a-zA-Z_]\w*(?=\s*(=~|!~|!=|=)\s*")', selector)
    )
