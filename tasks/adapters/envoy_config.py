"""Envoy's configuration as files (LDS, RDS, CDS, EDS), which it watches: weights move without a restart. Pure.

Each instance is a locality (a zone) of its own: that is what makes Envoy count per instance, while the group stays one
cluster, whose weight is the percentage that was asked for.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CONFIG: Final = "type.googleapis.com/envoy.config."
EXTENSION: Final = "type.googleapis.com/envoy.extensions.filters."
SPLITTER_ZONE: Final = "splitter"
ROUTES: Final = "weights"
LISTENER: Final = "users"
NAME: Final = re.compile(
    r"[A-Za-z0-9_-]+"
)  # part of a file's name, and of a counter's, which is split at dots
UNLIMITED: Final = 1_000_000
IDLE: Final = "1s"  # shorter than what servers keep an idle connection for: uvicorn and Node.js 5 s, gunicorn 2 s
ALL_MS: Final = 3_600_000.0
BOUNDS_MS: Final = (
    *(1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 75.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 500.0),
    *(750.0, 1000.0, 1500.0, 2000.0, 3000.0, 5000.0, 7500.0, 10_000.0, 30_000.0, 60_000.0),
)

Resource = dict[str, Any]


@dataclass(frozen=True, order=True)
class Endpoint:
    """One instance that may get requests. `address` is `host:port`."""

    group: str
    instance: str
    address: str


@dataclass(frozen=True)
class Routing:
    """What Envoy does: weights in percent by group, instances by group, and where users reach it (0: nowhere)."""

    weights: Mapping[str, int]
    endpoints: tuple[Endpoint, ...]
    listen_port: int

    @property
    def groups(self) -> set[str]:
        return {one.group for one in self.endpoints} | set(self.weights)


def why_not(wanted: Routing) -> str:
    """What Envoy would not do, or not count; empty if it can be asked for."""
    names = [*wanted.groups, *(one.instance for one in wanted.endpoints)]
    if odd := sorted(name for name in names if not NAME.fullmatch(name)):
        return f"the names {odd}, of which not all is letters, digits, - or _"
    if min(wanted.weights.values(), default=0) < 0 or sum(wanted.weights.values()) not in (0, 100):
        return f"the weights {dict(wanted.weights)}, which are not shares of 100"
    return ""


def meanwhile(now: Routing | None, wanted: Routing) -> tuple[Endpoint, ...]:
    """The instances to have while weights move: a group that loses users keeps who serves them until it has lost them.

    Not who had an address or a name that somebody else has now: Envoy knows instances by their address.
    """
    if now is None:
        return wanted.endpoints
    losing = {
        group
        for group, weight in now.weights.items()
        if group in wanted.groups and weight > wanted.weights.get(group, 0)
    }
    known = {(one.group, key) for one in wanted.endpoints for key in (one.instance, one.address)}
    leaving = [
        one
        for one in now.endpoints
        if one.group in losing and not known & {(one.group, one.instance), (one.group, one.address)}
    ]
    return tuple(sorted([*wanted.endpoints, *leaving]))


def bootstrap(folder: Path) -> Resource:
    """The only file that Envoy reads once. Its admin page gets a free port, which it writes to a file."""
    return {
        "admin": {"address": address("127.0.0.1", 0)},
        "node": {
            "id": folder.parent.name,
            "cluster": "bakewell",
            "locality": {"zone": SPLITTER_ZONE},
        },
        "dynamic_resources": {
            "lds_config": watched(folder, "lds.json"),
            "cds_config": watched(folder, "cds.json"),
        },
        "stats_flush_on_admin": True,  # histograms are gathered when somebody asks: see EnvoyProxy.stats
        "stats_config": {
            "histogram_bucket_settings": [
                {"match": {"suffix": "upstream_rq_time"}, "buckets": [*BOUNDS_MS, ALL_MS]}
            ]
        },
    }


def listener(folder: Path, port: int) -> list[Resource]:
    """Without SO_REUSEPORT: two Envoys must not share a port in silence, each answering half of the users."""
    routes = {"route_config_name": ROUTES, "config_source": watched(folder, "rds.json")}
    router = {"@type": f"{EXTENSION}http.router.v3.Router"}
    manager = {
        "@type": f"{EXTENSION}network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": LISTENER,
        "rds": routes,
        "http_filters": [{"name": "router", "typed_config": router}],
    }
    return [
        {
            "@type": f"{CONFIG}listener.v3.Listener",
            "name": LISTENER,
            "address": address("127.0.0.1", port),
            "enable_reuse_port": False,
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }
    ]


def clusters(folder: Path, groups: Iterable[str]) -> list[Resource]:
    """One for each group. Round robin: instances of a group are compared, so they get equal shares.

    Envoy ends idle connections before instances do: a request sent into a connection that is being closed is lost.
    Nor does it limit anything: what it turns away itself (its default: above 1024 at once) is charged to no instance.
    """
    limits = ("max_connections", "max_pending_requests", "max_requests")
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": {"idle_timeout": IDLE},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    return [
        {
            "@type": f"{CONFIG}cluster.v3.Cluster",
            "name": group,
            "type": "EDS",
            "connect_timeout": "2s",
            "lb_policy": "ROUND_ROBIN",
            "eds_cluster_config": {"eds_config": watched(folder, eds_file(group))},
            "circuit_breakers": {"thresholds": [dict.fromkeys(limits, UNLIMITED)]},
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
            },
        }
        for group in groups
    ]


def eds_file(group: str) -> str:
    return f"eds-{group}.json"


def assignment(group: str, endpoints: Iterable[Endpoint]) -> list[Resource]:
    """The instances of one group."""
    localities = [
        {
            "locality": {"zone": one.instance},
            "lb_endpoints": [{"endpoint": {"address": address(*split(one.address))}}],
        }
        for one in endpoints
    ]
    kind = f"{CONFIG}endpoint.v3.ClusterLoadAssignment"
    return [{"@type": kind, "cluster_name": group, "endpoints": localities}]


def routes(weights: Mapping[str, int]) -> list[Resource]:
    """Who gets which share. Where nothing is routed users get a 503 that says so."""
    return [
        {
            "@type": f"{CONFIG}route.v3.RouteConfiguration",
            "name": ROUTES,
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_route(weights)]}],
        }
    ]


def _route(weights: Mapping[str, int]) -> Resource:
    everything = {"prefix": "/"}
    if not sum(weights.values()):
        body = {"inline_string": "nothing is routed here yet\n"}
        return {"match": everything, "direct_response": {"status": 503, "body": body}}
    shares = [{"name": group, "weight": weight} for group, weight in sorted(weights.items())]
    # Nothing is tried again: an instance that died must show in its counters, or its canary would be praised for what
    # the others answered.
    route = {"weighted_clusters": {"clusters": shares}, "timeout": "300s"}
    return {"match": everything, "route": route}


def watched(folder: Path, name: str) -> Resource:
    """A file that is read anew when something is moved into the folder."""
    source = {"path": str(folder / name), "watched_directory": {"path": str(folder)}}
    return {"resource_api_version": "V3", "path_config_source": source}


def address(host: str, port: int) -> Resource:
    return {"socket_address": {"address": host, "port_value": port}}


def split(host_and_port: str) -> tuple[str, int]:
    host, _, port = host_and_port.rpartition(":")
    return host, int(port)


# ---- reading back --------------------------------------------------------------------------------


def weights_of(dump: Resource) -> dict[str, int]:
    """From /config_dump?resource=dynamic_route_configs; empty where nothing is routed."""
    for config in dump.get("configs", []):
        for host in config.get("route_config", {}).get("virtual_hosts", []):
            for route in host.get("routes", []):
                shares = route.get("route", {}).get("weighted_clusters", {}).get("clusters", [])
                return {share["name"]: share.get("weight", 0) for share in shares}
    return {}


def endpoints_of(status: Resource) -> tuple[Endpoint, ...]:
    """From /clusters?format=json, sorted."""
    found = [
        Endpoint(cluster["name"], host["locality"]["zone"], _joined(host["address"]))
        for cluster in status.get("cluster_statuses", [])
        for host in cluster.get("host_statuses", [])
    ]
    return tuple(sorted(found))


def groups_of(status: Resource) -> set[str]:
    """Clusters that are there and warm, from /clusters?format=json."""
    return {cluster["name"] for cluster in status.get("cluster_statuses", [])}


def busy_in(status: Resource) -> set[str]:
    """Instances with requests in flight, from /clusters?format=json."""
    return {
        host["locality"]["zone"]
        for cluster in status.get("cluster_statuses", [])
        for host in cluster.get("host_statuses", [])
        for stat in host.get("stats", [])
        if stat["name"] == "rq_active" and int(stat.get("value", 0))
    }


def listen_port_of(status: Resource) -> int:
    """From /listeners?format=json; 0 if users' listener is not there."""
    found: Sequence[Resource] = status.get("listener_statuses", [])
    ports = [one["local_address"]["socket_address"]["port_value"] for one in found]
    return int(ports[0]) if ports else 0


def _joined(where: Resource) -> str:
    return f"{where['socket_address']['address']}:{where['socket_address']['port_value']}"
