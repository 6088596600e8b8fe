"""Provenance as others write it, and parts to make ours of."""

from datetime import UTC, datetime
from typing import Any

from tasks.evidence import RolloutVerdict, SmokeResult, SmokeTested
from tasks.materials import Ingredient, Materials
from tasks.model import Source, Verdict
from tasks.sign.provenance import Making

COMMIT = "4b5076f113d5bdb833920c2a846223842e2d3b25"
BASE = "registry.example/python@sha256:" + "b" * 64
AT = datetime(2026, 3, 1, 12, 30, 5, 250000, tzinfo=UTC)

SOURCE = Source("https://git.example/team/hello.git", COMMIT, False)
MATERIALS = Materials(
    BASE,
    (
        Ingredient("itsdangerous", "2.2.0", "c" * 64),
        Ingredient("many", "1.0+local", "", ("d" * 64, "e" * 64)),
    ),
    (("/app/hello.py", "1" * 64), ("/app/version", "2" * 64)),
    "cp311-linux-x86_64",
)
MAKING = Making(
    AT,
    AT.replace(second=9),
    "0c53a0a6-8a3c-4c59-9a37-6e1c0a6f8f3e",
    "f" * 64,
    False,
    (("bakewell", "0.2.0"), ("python", "3.11.2"), ("zlib", "1.3.1")),
)

LINE = "ab" * 32
TESTED = SmokeTested("staging", SmokeResult.PASSED, AT, "/", "2 passed", "r3", LINE)
GIVEN = RolloutVerdict(
    "staging", "process", Verdict.PROMOTE, "good", "r3", AT, AT, {"requests": 183}, LINE
)


def github() -> dict[str, Any]:
    """As GitHub's workflow build type has it (https://actions.github.io/buildtypes/workflow/v1)."""
    return {
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {
                "workflow": {
                    "ref": "refs/heads/main",
                    "repository": "https://github.com/team/hello",
                    "path": ".github/workflows/release.yml",
                }
            },
            "internalParameters": {"github": {"event_name": "push"}},
            "resolvedDependencies": [
                {
                    "uri": "git+https://github.com/team/hello@refs/heads/main",
                    "digest": {"gitCommit": COMMIT},
                }
            ],
        },
        "runDetails": {
            "builder": {"id": "https://github.com/team/hello/.github/workflows/release.yml@main"},
            "metadata": {
                "invocationId": "https://github.com/team/hello/actions/runs/11/attempts/1"
            },
        },
    }


def chains() -> dict[str, Any]:
    """As Tekton Chains has it: images as oci://, the commit as sha1."""
    return {
        "buildDefinition": {
            "buildType": "https://tekton.dev/chains/v2/slsa",
            "externalParameters": {"runSpec": {}},
            "resolvedDependencies": [
                {
                    "uri": "oci://registry.example/python",
                    "digest": {"sha256": "b" * 64},
                },
                {
                    "name": "inputs/result",
                    "uri": "git+ssh://git@git.example/team/hello.git",
                    "digest": {"sha1": COMMIT},
                },
                {
                    "uri": "pkg:npm/%40team/left-pad@1.3.0?checksum=x",
                    "digest": {"sha256": "a" * 64},
                },
            ],
        },
        "runDetails": {
            "builder": {"id": "https://tekton.dev/chains/v2"},
            "metadata": {"startedOn": "2026-03-01T12:30:05Z", "finishedOn": "2026-03-01T12:31:05Z"},
        },
    }
