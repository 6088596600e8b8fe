"""Replacement, as Prefect shows it. What is done is in flows/replacing.py, which does not need Prefect."""

from collections.abc import Sequence
from typing import Final

from prefect import flow
from prefect.logging import get_run_logger

from flows.evidence import publish_report
from flows.replacing import Replaced, replace_all
from tasks import platforms
from tasks.evidence import QuarantineKind

RUN_NAME: Final = "replace what the quarantine of {what} holds"


@flow(flow_run_name=RUN_NAME)
def replace_everywhere(kind: QuarantineKind, what: str, wait_seconds: float) -> list[Replaced]:
    """Roll every environment back in which something runs that a quarantine holds.

    Args:
        kind: By what it finds its artifacts.
        what: A digest, or name@version of a package.
        wait_seconds: How long to wait, in each environment, for a rollout or somebody else who is changing it.
    """
    done = replace_all(kind, what, wait_seconds)
    _publish(done)
    return done


@flow(name="replace-everywhere", flow_run_name=RUN_NAME)
def show_replaced(
    kind: QuarantineKind, what: str, done: Sequence[Replaced], story: list[str]
) -> None:
    """Show what was replaced already, by `bakewell quarantine`. It changes nothing, however often it is run.

    Args:
        kind: By what it finds its artifacts.
        what: A digest, or name@version of a package.
        done: What was done in each environment.
        story: What was told meanwhile, line by line.
    """
    for line in story:
        get_run_logger().info(line)
    _publish(done)


def _publish(done: Sequence[Replaced]) -> None:
    for one in done:
        if one.back_on:
            publish_report(platforms.journal(), one.service, one.back_on)
