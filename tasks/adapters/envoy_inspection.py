"""What an Envoy of ours really does, and whether its files still say what we wrote.

Each file is made again from what Envoy says it does: who changed a file by hand wrote something else, whether Envoy took it
or not. Its bootstrap is not looked at: it is read once, and written anew before each start.
"""

import json
from pathlib import Path
from typing import Any

from tasks.adapters import envoy_config
from tasks.adapters.envoy import EnvoyProxy, Routing
from tasks.inspection import Route, SplitterSeen


def splitter_seen(proxy: EnvoyProxy, folder: Path) -> SplitterSeen:
    """`folder` holds its files. One that does not run, or does not answer, splits nothing."""
    routing = proxy.routed()
    if routing is None:
        return SplitterSeen(runs=False)
    routes = tuple(Route(one.group, one.instance, one.address) for one in routing.endpoints)
    return SplitterSeen(True, routes, tuple(_foreign(folder, routing)))


def _foreign(folder: Path, routing: Routing) -> list[str]:
    return [name for name, ours in _ours(folder, routing).items() if not _is(folder / name, ours)]


def _ours(folder: Path, routing: Routing) -> dict[str, list[list[envoy_config.Resource]]]:
    """By file, what we may have written if Envoy does this."""
    groups = sorted(routing.groups | _listed(folder))
    return {
        "rds.json": [envoy_config.routes(weights) for weights in _weights(routing, groups)],
        "lds.json": [envoy_config.listener(folder, routing.listen_port)],
        "cds.json": [envoy_config.clusters(folder, groups)],
        **{
            envoy_config.eds_file(group): [
                envoy_config.assignment(
                    group, [one for one in routing.endpoints if one.group == group]
                )
            ]
            for group in groups
        },
    }


def _weights(routing: Routing, groups: list[str]) -> list[dict[str, int]]:
    """Groups without traffic may be named with 0, or not at all."""
    routed = {name: weight for name, weight in routing.weights.items() if weight}
    return [dict(routing.weights), routed, {name: routed.get(name, 0) for name in groups}]


def _listed(folder: Path) -> set[str]:
    """Groups of which there is a file of instances: a group without any is not among Envoy's endpoints."""
    return {path.stem.removeprefix("eds-") for path in folder.glob("eds-*.json")}


def _is(path: Path, ours: list[list[envoy_config.Resource]]) -> bool:
    try:
        found = json.loads(path.read_text())["resources"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return any(_sorted(found) == _sorted(one) for one in ours)


def _sorted(value: Any) -> Any:
    """Clusters, instances and shares have no order."""
    if isinstance(value, dict):
        return {name: _sorted(one) for name, one in value.items()}
    if isinstance(value, list):
        return sorted(
            (_sorted(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True)
        )
    return value
