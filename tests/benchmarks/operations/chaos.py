"""A compressed day of a team with something killed at a random moment of each release, on processes and in containers:

python -m tests.benchmarks.operations.chaos [KILLS [SEED]]

Ends with an AssertionError if an invariant is broken. Prints each round, and a Markdown table of who was killed how often.
"""

import os
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.e2e.conftest import copy_of_example, home_of_its_own
from tests.e2e.docker_service import dockerfile_service, yard
from tests.e2e.operations.chaos import Round, Victim, chaotic_day
from tests.e2e.test_killed import only_production


def main(kills: int = 30, seed: int | None = None) -> None:
    first = random.SystemRandom().randrange(10**6) if seed is None else seed
    print(
        f"python -m tests.benchmarks.operations.chaos {kills} {first} repeats this day", flush=True
    )
    os.environ.pop("PREFECT_API_URL", None)
    with (
        tempfile.TemporaryDirectory(prefix="bkw-chaos-") as folder,
        yard(Path(folder) / "yard") as there,
        home_of_its_own() as bakewell,
    ):
        os.environ["BAKEWELL_HOME"] = str(bakewell.home)
        up = bakewell("up", "--detach", seconds=300)
        assert up.code == 0, up.out + up.err
        on_processes = copy_of_example(Path(folder), "brook")
        on_processes.edit(only_production)
        in_containers = dockerfile_service(Path(folder), "barge", there)
        seeds = [first + number for number in range(kills)]
        print(table(chaotic_day(bakewell, [on_processes, in_containers], seeds)))


def table(rounds: Sequence[Round]) -> str:
    """One row for each kind of victim that was chosen."""
    lines = [
        "| killed | times | in a rollout | safe after, median | worst | quiet after, worst | requests | failed |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for victim in Victim:
        if here := [one for one in rounds if one.kill.victim is victim]:
            safe = [one.safe_seconds for one in here]
            quiet = max(one.quiet_seconds for one in here)
            asked, failed = (sum(one.requests for one in here), sum(one.failures for one in here))
            hit = sum(one.kill.in_flight for one in here)
            lines.append(
                f"| {victim.value} | {len(here)} | {hit} | {median(safe):.1f} s | {max(safe):.1f} s"
                f" | {quiet:.1f} s | {asked:,} | {failed} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main(*(int(one) for one in sys.argv[1:]))
