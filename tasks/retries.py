"""How tasks meet failure: retry what may pass, give up at once on a refusal. The one place for Prefect retry settings."""

from typing import Any, Final

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from tasks.errors import TransientError


def is_transient(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Prefect's `retry_condition_fn`: it shows the failure by `state.result()` raising."""
    try:
        state.result()
    except TransientError:
        return True
    except Exception:  # noqa: BLE001 - whatever else it was, it is not ours to retry
        return False
    return False


# A person waits for the answer, and there is one for "could not be told".
BRIEFLY: Final[dict[str, Any]] = {
    "retries": 2,
    "retry_delay_seconds": [0.5, 2],
    "retry_condition_fn": is_transient,
}
PATIENTLY: Final[dict[str, Any]] = {
    "retries": 3,
    "retry_delay_seconds": [1, 5, 15],
    "retry_jitter_factor": 0.2,
    "retry_condition_fn": is_transient,
}
