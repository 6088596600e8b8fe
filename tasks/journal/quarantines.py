"""Quarantines, as the journal's lines leave them. Pure."""

from tasks.evidence import Quarantine
from tasks.journal.events import Quarantined, QuarantineLifted


def quarantines_after(
    known: tuple[Quarantine, ...], body: Quarantined | QuarantineLifted
) -> tuple[Quarantine, ...]:
    """One thing is quarantined once: said again, it is what was said last."""
    about = body.quarantine if isinstance(body, Quarantined) else body
    others = tuple(one for one in known if (one.kind, one.what) != (about.kind, about.what))
    return (*others, body.quarantine) if isinstance(body, Quarantined) else others
