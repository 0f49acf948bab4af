"""What can go wrong, by whose fault it is. Every error's text says what was found, what it means and the mend.

RelayError
├── UserMistake        exit code 2: mend the call, the settings or the set-up, then start again
│   ├── SettingsError      a setting is unknown, malformed or would break a promise
│   ├── SchemaError        the outbox schema is missing, too old or too new
│   ├── DatabaseUnfit      the database cannot serve a relay: too old, behind a pooler, a right missing
│   ├── PortUnavailable    the port to watch the relay at is taken, or may not be used
│   ├── BrokerRefuses      Kafka and the relay do not accept each other: a certificate, a password, a mechanism
│   ├── ChoiceError        what an operator chose is empty, malformed, or cannot be acted on
│   └── PositionsForeign   the recorded positions belong to another cluster, or its sequence went backwards
└── WorkFailed         exit code 1: the set-up was right, the work did not get done
    ├── DatabaseUnreachable
    ├── BrokerUnreachable
    ├── AlreadyPruning     somebody else prunes at the moment
    └── LeaseLost          another relay may own a shard now: stop before harm is done, read everything anew
"""


class RelayError(Exception):
    """Root of the errors that this package raises on purpose."""


class UserMistake(RelayError):
    """The set-up, the settings or the call are wrong; trying again will not help. Exit code 2."""


class SettingsError(UserMistake):
    """A setting is unknown, malformed, or would break a promise; the text names the variable or key."""


class SchemaError(UserMistake):
    """The outbox schema is missing, too old or too new for this relay."""


class DatabaseUnfit(UserMistake):
    """The database answers but cannot serve a relay: version, pooler or a missing right."""


class PortUnavailable(UserMistake):
    """The port at which the relay was to be watched is taken, may not be used, or is on no address of this machine."""


class BrokerRefuses(UserMistake):
    """Kafka answers but turns the relay away, or is not whom the relay trusts; the text says why."""


class ChoiceError(UserMistake):
    """The messages that an operator chose are none, are named in a way that means nothing, or cannot be acted on."""


class PositionsForeign(UserMistake):
    """The recorded positions cannot be trusted here; going on could skip messages silently."""


class WorkFailed(RelayError):
    """The set-up was right but the work did not get done. Exit code 1."""


class DatabaseUnreachable(WorkFailed):
    """No connection to PostgreSQL could be had, or it was lost."""


class BrokerUnreachable(WorkFailed):
    """Kafka does not answer."""


class AlreadyPruning(WorkFailed):
    """Somebody else prunes at the moment, and does all there is to do."""


class LeaseLost(WorkFailed):
    """A lease or the session that held it is gone: another relay may own the shard now."""
