"""What an engine's words say of what was done to a container. No engine: the words are those that one said."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.adapters.docker_events import deeds, known_from
from tasks.adapters.docker_marks import changed_files, seen
from tasks.adapters.docker_run import ContainerLabel, Image, Setting, creation
from tasks.inspection import ChangedFile, ChangedSetting, Condition, DeedKind, FileChange
from tasks.model import Artifact, Environment, Group, Role
from tests.support.drifting import NOON

HERE = Environment("hello", "prod", "docker")
OURS = {ContainerLabel.HOME.value: "h", ContainerLabel.ENVIRONMENT.value: HERE.key}
THERE = {"c1": ("r1-a", "r1")}


def event(action: str, at: int, id: str = "c1", kind: str = "container", **attributes: str) -> Any:
    nanoseconds = int(NOON.timestamp() + at) * 10**9
    actor = {"ID": id, "Attributes": attributes}
    return {"Type": kind, "Action": action, "Actor": actor, "timeNano": nanoseconds}


def network(action: str, at: int, container: str = "c1") -> Any:
    return event(action, at, "n1", "network", container=container, name="net")


BIRTH = [event("create", 0), network("connect", 1), event("start", 2)]


def kinds(*events: Any) -> list[DeedKind]:
    return [deed.kind for deed in deeds(events, THERE, OURS)]


def test_to_be_made_connected_started_and_looked_at_is_no_deed() -> None:
    read = [event(action, 5) for action in ("top", "archive-path", "commit", "resize", "attach")]
    health = event("health_status: healthy", 6)
    assert kinds(*BIRTH, *read, health) == []


def test_what_happens_to_its_network_while_it_ends_and_starts_is_no_deed() -> None:
    again = [event("die", 3), network("disconnect", 4), network("connect", 5), event("start", 6)]
    assert kinds(*BIRTH, *again) == []
    assert kinds(*BIRTH, network("disconnect", 7)) == [DeedKind.DISCONNECTED]
    assert kinds(*BIRTH, network("connect", 7)) == [DeedKind.CONNECTED]


def test_of_one_that_started_before_the_engines_memory_everything_counts() -> None:
    assert kinds(network("disconnect", 7)) == [DeedKind.DISCONNECTED]


@pytest.mark.parametrize(
    ("action", "attributes", "kind", "words"),
    [
        ("exec_create: sh -c id: x", {}, DeedKind.EXECUTED, "sh -c id: x"),
        ("extract-to-dir", {}, DeedKind.COPIED, ""),
        ("update", {}, DeedKind.UPDATED, ""),
        ("kill", {"signal": "9"}, DeedKind.SIGNALLED, "SIGKILL"),
        ("kill", {"signal": "34"}, DeedKind.SIGNALLED, "signal 34"),
        (
            "rename",
            {"oldName": "/a", "name": "b"},
            DeedKind.RENAMED,
            "from a to b",
        ),
        ("pause", {}, DeedKind.PAUSED, ""),
        ("stop", {}, DeedKind.STOPPED, ""),
        ("restart", {}, DeedKind.RESTARTED, ""),
    ],
)
def test_what_people_do_is_told_with_its_words_and_time(
    action: str, attributes: dict[str, str], kind: DeedKind, words: str
) -> None:
    (found,) = deeds([*BIRTH, event(action, 9, **attributes)], THERE, OURS)
    assert (found.kind, found.words, found.instance) == (kind, words, "r1-a")
    assert (found.at - NOON).total_seconds() == 9
    assert found.who == "", "the engine does not tell"


@pytest.mark.parametrize(
    "command",
    [
        "psql --password hunter2",
        "sh -c PGPASSWORD=hunter2 psql",
        "curl -H Authorization: hunter2",
        "curl -H 'Authorization: Bearer hunter2'",
        "git clone https://ada:hunter2@git.example/x",
        'env API_TOKEN="hunter2" x',
    ],
)
def test_a_secret_that_somebody_typed_is_not_told(command: str) -> None:
    (found,) = deeds([event(f"exec_create: {command}", 1)], THERE, OURS)
    assert "hunter2" not in found.words
    assert found.words.startswith(command.split()[0])
    assert "(hidden)" in found.words


def test_what_is_done_to_others_is_none_of_ours() -> None:
    assert kinds(*BIRTH, event("pause", 5, "c2"), network("connect", 6, "c2")) == []


def test_a_removed_one_is_told_if_it_was_ours_and_is_not_there() -> None:
    mine = {**OURS, ContainerLabel.INSTANCE.value: "r1-b", ContainerLabel.GROUP.value: "r1"}
    gone, stays = event("destroy", 5, "c9", **mine), event("destroy", 5, "c1", **mine)
    foreign = event("destroy", 5, "c8", **{**mine, ContainerLabel.HOME.value: "other"})
    (found,) = deeds([gone, stays, foreign], THERE, OURS)
    assert (found.kind, found.instance, found.group) == (DeedKind.REMOVED, "r1-b", "r1")


def test_what_an_engine_knows_begins_with_its_oldest_event_or_now() -> None:
    assert (known_from([event("die", 5), event("die", 3)], NOON) - NOON).total_seconds() == 3
    assert known_from([], NOON) == NOON


# ---- one container -------------------------------------------------------------------------------


def attrs(**state: Any) -> dict[str, Any]:
    """As the engine shows one that was just made by us."""
    from pathlib import Path

    group = Group("r1", Artifact("hello", "sha256:1", "layout:/x"), 1, 0, Role.STABLE)
    body = creation(Setting(Path("/home"), HERE, "net"), group, "r1-a", Image("sha256:i", {}))
    return {
        "Name": "/hello-prod-r1-a",
        "Image": body["Image"],
        "Config": {"Env": body["Env"], "Labels": body["Labels"]},
        "HostConfig": dict(body["HostConfig"]),
        "NetworkSettings": {"Networks": {"net": {}}},
        "Mounts": [],
        "State": {
            "Paused": False,
            "Running": True,
            "OOMKilled": False,
            "ExitCode": 0,
            "StartedAt": "2026-03-01T12:00:00.123456789Z",
            "FinishedAt": "0001-01-01T00:00:00Z",
            **state,
        },
    }


def test_one_that_nobody_touched_shows_no_trace() -> None:
    found = seen(attrs(), "r1-a", "r1", "sha256:1")
    assert (found.settings, found.files, found.forged, found.called) == ((), (), "", "")
    assert (found.condition, found.restarted_at) == (Condition.RUNNING, None)


def test_a_changed_limit_is_told_as_it_was_asked_and_is_now() -> None:
    changed = attrs()
    changed["HostConfig"]["PidsLimit"] = 7
    (found,) = seen(changed, "r1-a", "r1", "sha256:1").settings
    assert found == ChangedSetting("PidsLimit", Environment("", "", "").container.pids, 7)


def test_of_a_changed_environment_only_names_are_told() -> None:
    changed = attrs()
    changed["Config"]["Env"] = ["PORT=8080", "HOST=hunter2", "NEW=hunter2"]
    (found,) = seen(changed, "r1-a", "r1", "sha256:1").settings
    assert found == ChangedSetting("Env", ["HOST=…"], ["HOST=…", "NEW=…"])


def test_a_name_of_its_own_is_told_as_a_name_and_not_as_a_setting() -> None:
    found = seen({**attrs(), "Name": "/evil"}, "r1-a", "r1", "sha256:1")
    assert (found.called, found.settings) == ("evil", ())


def test_one_that_ended_tells_when_and_how() -> None:
    found = seen(
        attrs(Running=False, ExitCode=137, OOMKilled=True, FinishedAt="2026-03-01T12:00:00.5Z"),
        "r1-a",
        "r1",
        "sha256:1",
    )
    assert (found.condition, found.since) == (Condition.ENDED, NOON)
    assert found.detail == "ended with exit code 137, for want of memory"


def test_one_that_runs_and_has_ended_before_was_started_again() -> None:
    found = seen(attrs(FinishedAt="2026-02-28T12:00:00Z"), "r1-a", "r1", "sha256:1")
    assert found.restarted_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_marks_that_ask_for_what_we_never_ask_for_are_forged() -> None:
    without, wide = attrs(), attrs()
    del without["Config"]["Labels"][ContainerLabel.STARTED_AS.value]
    labels = wide["Config"]["Labels"]
    label = labels[ContainerLabel.STARTED_AS.value]
    labels[ContainerLabel.STARTED_AS.value] = label.replace(
        '"CapDrop":["ALL"]', '"Privileged":true'
    )
    assert "does not say" in seen(without, "r1-a", "r1", "").forged
    assert seen(wide, "r1-a", "r1", "").forged == "it was started with CapDrop None"


def test_where_the_engine_mounts_something_is_no_change_of_files() -> None:
    diff: list[Any] = [
        {"Path": "/tmp", "Kind": 1},
        {"Path": "/sbin", "Kind": 1},
        {"Path": "/sbin/docker-init", "Kind": 1},
        {"Path": "/sbin/backdoor", "Kind": 1},
        {"Path": "/etc/passwd", "Kind": 0},
        {"Path": "/app", "Kind": 2},
    ]
    assert changed_files(diff, attrs()) == (
        ChangedFile("/app", FileChange.DELETED),
        ChangedFile("/etc/passwd", FileChange.CHANGED),
        ChangedFile("/sbin/backdoor", FileChange.ADDED),
    )
    assert changed_files(None, attrs()) == ()
