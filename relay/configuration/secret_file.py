"""Secrets that stand in a file of their own, as Docker, Kubernetes and systemd give them: which, and how one is read.

A setting that may hold a secret is also known by its name with `_FILE` (`_file` in TOML) behind it: the path of a file
whose text is its value. Guarantees: what is wrong with a file is said by its path and never by what is in it; a file
that every user of the machine may read is refused, for it is no secret; the same file can be read again later.
"""

import stat
from pathlib import Path

from relay.errors import SettingsError

KAFKA_SECRETS = frozenset(
    {
        "sasl.username",
        "sasl.password",
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "ssl.certificate.pem",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
    }
)
"""The librdkafka properties that may stand in a file. (`ssl.key.location` and its like name a file themselves.)"""

LONGEST = 1_000_000
"""Bytes. Longer than any key with its chain; a file above it was named by mistake."""


def read(path: Path, label: str) -> str:
    """Return the text of a secret's file, without the line end that editors put behind it.

    Args:
        path: the file; links are followed.
        label: the setting that names it, for errors.

    Raises:
        SettingsError: it is missing, empty, not text, no file, or every user may read it.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise _refusal(path, label, "is not a file; allowed: a file with the secret and nothing else")
        if about.st_mode & stat.S_IROTH:
            mend = f"chmod o-r {path}; in Kubernetes, set defaultMode: 0440 for the volume"
            raise _refusal(
                path, label, f"may be read by every user of this machine (mode {about.st_mode & 0o777:04o}); {mend}"
            )
        if about.st_size > LONGEST:
            raise _refusal(path, label, f"has {about.st_size} bytes, too many for a secret")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise _refusal(path, label, "is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        raise _refusal(path, label, f"cannot be read: {getattr(error, 'strerror', None) or 'not a path'}") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret.strip():
        raise _refusal(path, label, "is empty; the secret belongs into it")
    return secret


def _refusal(path: Path, label: str, why: str) -> SettingsError:
    return SettingsError(f"{label}: the file {path} {why}")
