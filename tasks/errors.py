"""Every error this project raises. Two questions only: may asking again help, and what should a person do?

A message says what was asked, what was found and what to do next.
"""


class BakewellError(Exception):
    """Base of all errors raised by this project."""


class TransientError(BakewellError):
    """The outside world did not answer, or not yet; asking again may help."""


class RefusedError(BakewellError):
    """Somebody or some rule said no; asking again, unchanged, will not help."""


class InvalidInputError(RefusedError):
    """What a person gave us cannot be used; nothing was changed."""


class NotFoundError(RefusedError):
    """What was asked for by name or digest does not exist."""


class CorruptError(RefusedError):
    """Bytes are not what their digest or hash says: tampering or a broken disk."""


class TagConflictError(RefusedError):
    """A tag that people read stands for another digest already. It never moves."""


class TooLargeError(RefusedError):
    """More bytes than anybody honest would send; reading was given up at the limit."""


class NotAdmittedError(RefusedError):
    """Invariant 2: an artifact without complete evidence was about to start."""


class LeaseHeldError(RefusedError):
    """Another live owner is changing this environment."""


class LateWriterError(RefusedError):
    """Invariant 6: the writer's fencing token is not the newest; somebody else took over."""


class UnsafeActionError(RefusedError):
    """Invariant 5: the action would stop or un-route the last ready and admitted group."""


class NotReadyError(RefusedError):
    """Instances were started and did not become ready in time."""


class MetricsUnreadableError(TransientError):
    """Invariant 7: the metrics source did not answer. It says nothing about the service."""


class VerificationFailedError(RefusedError):
    """Evidence exists and does not hold: wrong key, other subject, broken chain."""
