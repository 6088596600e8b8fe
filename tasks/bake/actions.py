"""The Prefect task of this room: connect, bake, return."""

from collections.abc import Mapping
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from tasks import platforms
from tasks.bake.bakery import Baked, bake
from tasks.retries import PATIENTLY
from tasks.service import ServiceSpec


@task(cache_policy=NO_CACHE, task_run_name="bake {spec.service}", **PATIENTLY)
def bake_artifact(
    folder: str, spec: ServiceSpec, followed: Mapping[str, str], fresh: bool
) -> Baked:
    """The artifact of what is in `folder` now, on the bases that are followed; known inputs are found again unless it must be
    `fresh`. Wheels are kept in the home."""
    store = platforms.store_for(spec)
    cache = platforms.home() / "cache"
    say = get_run_logger().info
    return bake(spec, Path(folder), store, cache, say, fresh=fresh, followed=followed)
