"""The smallest flow that can be deployed."""

from prefect import flow


@flow
def count(start: int = 1) -> int:
    """Add one.

    Args:
        start: What to add to.
    """
    return start + 1
