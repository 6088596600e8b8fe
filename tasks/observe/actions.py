"""Read the counters of one environment: once, or over the windows of an error budget."""

from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import platforms
from tasks.errors import MetricsUnreadableError
from tasks.model import Environment, Reading, Unseen
from tasks.observe.burn import Spent
from tasks.retries import BRIEFLY
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


@task(
    cache_policy=NO_CACHE,
    task_run_name="read what {environment.service} in {environment.name} spent of its error budget",
    **BRIEFLY,
)
def budget_spent(
    environment: Environment, source: PrometheusSource, seconds: tuple[float, ...]
) -> dict[float, Spent]:
    """What users met in each of these windows, but those for which the service is too young.

    MetricsUnreadableError if the source does not answer, or knows nothing of the service.
    """
    past = platforms.past_metrics(environment, source)
    found = {one: past.totals(one) for one in seconds}
    if found[min(seconds)] is None:
        raise MetricsUnreadableError(
            f"asked Prometheus at {source.url} for the last {min(seconds):g} s; found no target that was scraped twice in"
            " this time; see whether exporter and selector fit"
        )
    return {one: Spent(sum.failures, sum.requests) for one, sum in found.items() if sum}
