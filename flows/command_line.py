"""What a person can type to stop everything, to let it go on, and to settle what was bypassed."""

from flows import console
from flows.command import Exit
from flows.debts import debt_words
from flows.debts import repay as settle
from flows.line import resume as go_on
from flows.line import stop, stop_words


def stop_the_line(reason: str, *, by: str = "") -> int:
    """Let nothing go forward anywhere: no rollout begins, those in flight are withdrawn. Roll-backs and repairs go on.

    Parameters
    ----------
    reason
        Why; it is shown to everybody who waits.
    by
        Who; this machine's user where empty.
    """
    words = stop_words(stop(reason, by))
    console.out(f"{words[0].upper()}{words[1:]}. `bakewell resume REASON` lets it go on.")
    return Exit.DONE


def resume(reason: str, *, by: str = "") -> int:
    """Let the line go on: what waits for it begins.

    Parameters
    ----------
    reason
        Why it is safe again; it is journalled.
    by
        Who; this machine's user where empty.
    """
    found = go_on(reason, by)
    console.out(f"The line goes again; {found.by} had stopped it: {found.reason}")
    return Exit.DONE


def repay(line: int, *, how: str, by: str = "") -> int:
    """Settle a debt: say what was done about something that was bypassed. `bakewell status` lists debts.

    Parameters
    ----------
    line
        The line of the journal that says what was bypassed, as `bakewell status` shows it.
    how
        What was done: reviewed, approved afterwards, watched for two days.
    by
        Who; this machine's user where empty.
    """
    console.out(f"Repaid: {debt_words(settle(line, how, by))}")
    return Exit.DONE
