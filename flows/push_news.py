"""What people hear of a push: how its release has ended, and the mark beside the commit in its forge."""

from flows.labels import run_path
from flows.story import Tone, tell
from tasks import platforms
from tasks.adapters.commit_status import Mark, Told, tell_forge
from tasks.adapters.prefect_api import FlowRun
from tasks.errors import BakewellError
from tasks.journal.pushes import KnownPush
from tasks.journal.rules import fold
from tasks.ports import Journal
from tasks.pushes import Repositories


def ended_words(journal: Journal, push: KnownPush, run: FlowRun | None) -> tuple[bool, str]:
    """Did it succeed, and a sentence: the journal's where it knows the release, else Prefect's. `run` is None if Prefect
    has forgotten it."""
    succeeded = run is not None and run.state == "COMPLETED"
    for release in reversed([*fold(journal.events(push.service)).releases.values()]):
        if release.source.commit == push.body.commit and release.outcome is not None:
            return succeeded, f"{release.id} {release.outcome}"
    if succeeded:
        return True, "nothing changed, nothing rolled"
    return False, f"its run ended as {run.state_name}" if run else "Prefect has forgotten its run"


def show_forge(repositories: Repositories, push: KnownPush, mark: Mark, said: str) -> None:
    """A convenience: a forge that does not answer stops nothing, and is told about."""
    repository = repositories.named(push.body.repository)
    if repository is None:
        return
    try:
        tell_forge(
            repository, Told(push.body.commit, push.service, mark, said, _link(push.flow_run))
        )
    except BakewellError as error:
        tell(f"the forge could not be told: {error}", Tone.WARN, where=push.service)


def _link(flow_run: str) -> str:
    pages = platforms.prefect_pages()
    return f"{pages}{run_path(flow_run)}" if pages and flow_run else ""
