"""Tells people, through Apprise: one library that knows Slack, Teams, PagerDuty, e-mail, webhooks and a hundred more.

Addresses hold secrets: none is logged, journalled, or part of an error. Its own log, which names
them at times, is silenced.
"""

import logging

import apprise
from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType, PersistentStoreMode

from tasks.adapters.notify_file import address_of
from tasks.errors import InvalidInputError, TransientError
from tasks.notices import Level, Notice, Target

TYPES = {
    Level.INFO: NotifyType.INFO,
    Level.WARNING: NotifyType.WARNING,
    Level.ALARM: NotifyType.FAILURE,
}


class AppriseNotifier:
    """Each message on its own, within the library's time limits (4 s to connect, 4 s to answer)."""

    def __init__(self) -> None:
        logging.getLogger(apprise.__name__).setLevel(logging.CRITICAL + 1)
        logging.getLogger("urllib3").setLevel(logging.INFO)  # below, it would log webhooks' paths
        self._asset = AppriseAsset(
            app_id="Bakewell",
            app_desc="Replace, never patch",
            async_mode=False,
            storage_mode=PersistentStoreMode.MEMORY,
        )

    def send(self, target: Target, notice: Notice) -> None:
        """TransientError if it was not taken; InvalidInputError if there is no address, or none that is understood."""
        told = Apprise(asset=self._asset)
        if not told.add(address_of(target)):
            raise InvalidInputError(
                f"asked to tell {target.name}; its address (not repeated here) is none that Apprise understands: see its"
                " list of services"
            )
        taken = told.notify(
            notice.text or notice.title,  # without a body nothing is sent
            title=notice.title,
            notify_type=TYPES[notice.level],
            body_format=NotifyFormat.TEXT,
        )
        if not taken:
            raise TransientError(
                f"asked to tell {target.name} of: {notice.title}; it did not take it"
            )
