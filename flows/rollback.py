"""Roll back, as Prefect shows it. What is done is in flows/going_back.py, which does not need Prefect."""

from prefect import flow
from prefect.logging import get_run_logger

from flows.evidence import publish_report
from flows.going_back import roll_back
from flows.labels import tags_of
from flows.progress import name_run
from tasks import platforms
from tasks.journal.rules import Deployed

RUN_NAME = "roll {service} back in {environment}"


@flow(flow_run_name=RUN_NAME)
def rollback(service: str, environment: str, reason: str = "asked for") -> Deployed:
    """Return an environment to what was good there before. A traffic change while that is still warm.

    Args:
        service: Its name, as in its service.yaml.
        environment: Where users shall get what was good before: production.
        reason: Why. It is journalled with who asked.
    """
    try:
        target = roll_back(service, environment, reason)
    finally:  # users first
        name_run("", tags_of(service, [environment]))
    label(service, environment, target.release)
    publish_report(platforms.journal(), service, target.release)
    return target


def label(service: str, environment: str, release: str) -> None:
    """So that people find it, and see to what."""
    name = f"roll {service} back to {release} in {environment}"
    name_run(name, tags_of(service, [environment]))


@flow(name="rollback", flow_run_name=RUN_NAME)
def show_rolled_back(
    service: str, environment: str, reason: str, release: str, story: list[str]
) -> None:
    """Show a roll-back that was done already, by `bakewell rollback`. It changes nothing, however often it is run.

    Args:
        service: Name of the service.
        environment: Name of the environment.
        reason: Why it was asked for.
        release: What serves there since.
        story: What was told meanwhile, line by line.
    """
    label(service, environment, release)
    for line in story:
        get_run_logger().info(line)
    publish_report(platforms.journal(), service, release)
