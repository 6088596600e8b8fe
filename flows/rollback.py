"""Roll back, as Prefect shows it. What is done is in flows/going_back.py, which does not need Prefect."""

from prefect import flow
from prefect.logging import get_run_logger

from flows.evidence import publish_report
from flows.going_back import roll_back
from tasks import platforms
from tasks.journal.rules import Deployed

RUN_NAME = "roll {service} back in {environment}"


@flow(flow_run_name=RUN_NAME)
def rollback(service: str, environment: str, reason: str = "asked for") -> Deployed:
    """Return an environment to what was good there before. A traffic change while that is still warm.

    Args:
        service: Name of the service.
        environment: Name of the environment.
        reason: Why; it is journalled with who asked.
    """
    target = roll_back(service, environment, reason)
    publish_report(platforms.journal(), service, target.release)
    return target


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
    for line in story:
        get_run_logger().info(line)
    publish_report(platforms.journal(), service, release)
