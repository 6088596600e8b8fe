"""The Prefect task of this room."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.evidence import Scanned
from tasks.model import Artifact
from tasks.retries import PATIENTLY
from tasks.scan.scanning import scan


@task(cache_policy=NO_CACHE, task_run_name="scan {artifact.service} {artifact.short}", **PATIENTLY)
def scan_artifact(artifact: Artifact) -> Scanned:
    """A scan that was not done is an outcome, not an exception: the policy decides what follows."""
    return scan(artifact, get_run_logger().info)
