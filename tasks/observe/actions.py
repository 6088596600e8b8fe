"""Read the counters of one environment once."""

from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import platforms
from tasks.errors import MetricsUnreadableError
from tasks.model import Environment, Reading, Unseen
from tasks.sources import PrometheusSource, Sli


# NO_CACHE: with results persisted, Prefect's default policy would replay the first reading.
@task(
    cache_policy=NO_CACHE,
    task_run_name="read the metrics of {environment.service} in {environment.name}",
)
def take_sample(
    environment: Environment, source: PrometheusSource | None = None, slis: tuple[Sli, ...] = ()
) -> Reading | Unseen:
    """The counters now, from `source` or else from the platform. A source that does not answer is an outcome, not an exception (invariant 7)."""
    try:
        return platforms.metrics_for(environment, source, slis).read(environment)
    except MetricsUnreadableError as error:
        return Unseen(datetime.now(UTC), str(error))
