"""The network of one environment on an engine: made when it is needed, gone when the environment is."""

from contextlib import suppress
from typing import Any, Final

from tasks.adapters.docker_engine import Engine, translated
from tasks.adapters.docker_run import belongings, home_hash
from tasks.adapters.fleet_notes import Place
from tasks.errors import NotFoundError, RefusedError

NONE_LEFT: Final = ("non-overlapping", "fully subnetted", "no available network")


def network_name(place: Place) -> str:
    return f"bakewell-{place.environment.key}-{home_hash(place.home)}"


def ensure(engine: Engine, place: Place) -> str:
    """Its name; made if it is not there. RefusedError if the engine has no address range left for one more."""
    name = network_name(place)
    if _found(engine, place):
        return name
    labels = belongings(place.home, place.environment)
    try:
        with translated(f"to make the network {name}"):
            engine.client.api.create_network(
                name, driver="bridge", check_duplicate=True, labels=labels
            )
    except (RefusedError, NotFoundError) as error:
        if any(words in str(error) for words in NONE_LEFT):
            raise RefusedError(
                f"asked to make the network {name}; the engine has no address range left for one more (of about 30);"
                " stop environments that nobody needs (`bakewell down`), remove networks that nobody uses, or give the"
                " engine more `default-address-pools` in its daemon.json"
            ) from error
        raise
    return name


def remove(engine: Engine, place: Place) -> None:
    """RefusedError, naming them, if containers that are not ours are in it: those are their owner's to take out."""
    for network in _found(engine, place):
        with suppress(NotFoundError), translated(f"to remove the network {network['Name']}"):
            inside = engine.client.api.inspect_network(network["Id"]).get("Containers") or {}
            if inside:
                names = ", ".join(sorted(str(one.get("Name")) for one in inside.values()))
                raise RefusedError(
                    f"asked to remove the network {network['Name']}; found containers in it that are not ours: {names};"
                    f" take them out with `docker network disconnect {network['Name']} NAME`, then try again"
                )
            engine.client.api.remove_network(network["Id"])


def _found(engine: Engine, place: Place) -> list[dict[str, Any]]:
    """By its labels and by its whole name: the engine's own filter takes a part of a name, too."""
    marks = [f"{name}={value}" for name, value in belongings(place.home, place.environment).items()]
    with translated(f"for the network of {place.environment.key}"):
        found: list[dict[str, Any]] = engine.client.api.networks(filters={"label": marks})
    return [one for one in found if one["Name"] == network_name(place)]
