"""What an image says about how an instance of it is asked and ended. Pure."""

import math
from collections.abc import Mapping

from tasks.errors import RefusedError
from tasks.model import Artifact, Label


def health_path(labels: Mapping[str, str]) -> str:
    """Answers 200 when the instance can serve."""
    return labels.get(Label.HEALTH.value, "/")


def grace_seconds(labels: Mapping[str, str], artifact: Artifact) -> float:
    """From SIGTERM to SIGKILL, 10 where nothing is said. RefusedError if what is said is no such number."""
    text = labels.get(Label.GRACE_SECONDS.value, "10")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise RefusedError(
            f"asked to run {artifact.reference}; its label {Label.GRACE_SECONDS.value} is {text!r}; give a number of"
            " seconds, and bake it again"
        )
    return seconds
