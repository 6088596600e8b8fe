"""Ask fresh instances whether they work."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import platforms
from tasks.errors import TransientError
from tasks.model import Environment, Judgement
from tasks.rollout.smoke import SmokeAnswer, judge_smoke
from tasks.service import Smoke


@task(cache_policy=NO_CACHE, task_run_name="smoke test {group}")
def smoke_test(environment: Environment, group: str, smoke: Smoke) -> Judgement:
    """Ask every instance of the group directly, past the splitter."""
    platform = platforms.connect(environment.platform)
    found = platform.fleet.read(environment).group(group)
    answers = {
        one.name: _ask(platform, one.address, smoke) for one in (found.instances if found else ())
    }
    return judge_smoke(smoke, answers)


def _ask(platform: platforms.Platform, address: str, smoke: Smoke) -> SmokeAnswer:
    try:
        return SmokeAnswer(*platform.prober.get(address, smoke.path, smoke.timeout_seconds))
    except TransientError as error:
        return SmokeAnswer(0, str(error))
