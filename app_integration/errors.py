"""What can be wrong with a call, all of it said before the transaction commits.

EnqueueError
├── InvalidMessage             the message cannot be sent; `field` names what is wrong with it
│   ├── PayloadNotSerialisable     `field` is the path inside the payload: `payload.items[2].price`
│   ├── MessageTooLarge
│   └── UnknownTopic
├── NoTransaction              there is no transaction that the message could belong to
├── WrongDatabase              the session cannot tell which of its databases has the outbox
├── UnwrittenMessages          a transaction would commit without messages that were enqueued for it
└── ConfigurationError         the topics given to an `Outbox` make no sense

Nothing here knows of a database driver.
"""


class EnqueueError(Exception):
    """Root of the errors that this package raises on purpose."""


class InvalidMessage(EnqueueError, ValueError):
    """The message cannot be sent as it is.

    Args:
        field: the argument at fault, for a payload with the path inside it.
        problem: what was found and what is allowed.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class PayloadNotSerialisable(InvalidMessage):
    """Something in the payload has no exact JSON form."""


class MessageTooLarge(InvalidMessage):
    """The topic would refuse the message for its size."""


class UnknownTopic(InvalidMessage):
    """The topic is not among those configured, and only those may be used."""


class NoTransaction(EnqueueError):
    """There is no transaction open that the message could be committed or rolled back with."""


class WrongDatabase(EnqueueError):
    """The session has several databases and does not know which of them has the outbox."""


class UnwrittenMessages(EnqueueError):
    """Messages were enqueued for a transaction that would commit without them."""


class ConfigurationError(EnqueueError):
    """The topics given to an `Outbox` are malformed or contradict each other."""
