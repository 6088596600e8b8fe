"""What a quick rollout sees of instances that a real Prometheus scrapes, and what its judge makes of it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from tasks.adapters.prometheus import PrometheusMetrics
from tasks.errors import MetricsUnreadableError
from tasks.model import Environment, Judgement, Reading, Sample, Unseen
from tasks.observe.peers import PeerJudge
from tasks.observe.scrapes import following
from tasks.service import Objectives, Observe
from tests.support.metrics_grounds import Scraped

CANARY: Final = "r2-c"
INSTANCES: Final = [("r1", "r1-a"), ("r1", "r1-b"), ("r2", CANARY)]
QUICK: Final = Observe(
    interval_seconds=1,
    minimum_requests=1,
    minimum_seconds=0,
    deadline_seconds=600,
    batch_seconds=1,
    warm_up_seconds=0,
    margin=0.5,
    burst=1,
)


@dataclass
class Watch:
    """What a rollout sees, reading by reading."""

    metrics: PrometheusMetrics
    environment: Environment
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    samples: list[Sample | Unseen] = field(default_factory=list)
    last: Reading | Unseen | None = None

    def look(self) -> Sample | Unseen | None:
        try:
            now: Reading | Unseen = self.metrics.read(self.environment)
        except MetricsUnreadableError as error:
            now = Unseen(datetime.now(UTC), str(error))
        followed = following(self.last or Unseen(now.at, "nothing yet"), now)
        self.last = followed.last
        if followed.sample is not None:
            self.samples.append(followed.sample)
        return followed.sample

    def judge(self) -> Judgement:
        judge = PeerJudge(Objectives(), QUICK)
        now = datetime.now(UTC)
        return judge.judge(
            self.samples, "r2", ("r1",), self.started_at - timedelta(seconds=60), now
        )

    @property
    def blind(self) -> str:
        """The reason of the newest sample, if it could not be seen."""
        newest = self.samples[-1]
        return newest.reason if isinstance(newest, Unseen) else ""


def serve(ground: Scraped, bad_share: float = 0.0, requests: int = 2000) -> None:
    for name, one in ground.exporters.items():
        bad = round(requests * bad_share) if name == CANARY else 0
        one.served(requests - bad, bad)
