"""From an e-mail's contract to the very bytes that are sent. Pure, but for reading templates.

Guarantees: what fills a template is escaped in HTML, and can begin no header; a variable that is missing is an error
and no gap; the `Message-ID` follows from the message's id, so that a repeat is recognised as one.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from hashlib import sha256
from typing import Any

import jinja2

from app_integration.contracts import Email
from app_integration.workers.verdict import Reject

KINDS = ("html", "txt")
"""Each template has a file for each: `<name>.html`, `<name>.txt`."""


class Renderer:
    """Renders mails.

    Args:
        loader: where templates are; those of this package unless given.
    """

    def __init__(self, loader: jinja2.BaseLoader | None = None) -> None:
        self._environment = jinja2.Environment(
            loader=loader or jinja2.PackageLoader("app_integration.workers.mail"),
            undefined=jinja2.StrictUndefined,
            autoescape=jinja2.select_autoescape(["html"], default=False),
            keep_trailing_newline=True,
        )

    @property
    def names(self) -> set[str]:
        """The templates that are there in every kind."""
        found = [set(self._environment.list_templates(extensions=[kind])) for kind in KINDS]
        names = [{name.rpartition(".")[0] for name in kind} for kind in found]
        return {name for name in set.intersection(*names) if not name.startswith("_")}

    def render(self, mail: Email) -> tuple[str, str]:
        """Fill a mail's template; return HTML and text.

        Raises:
            Reject: there is no such template, or something that it needs is missing.
        """
        try:
            html, text = (self._fill(f"{mail.template}.{kind}", mail) for kind in KINDS)
        except jinja2.TemplateNotFound as error:
            raise Reject(f"there is no template {error.name}; known are {', '.join(sorted(self.names))}") from None
        except jinja2.UndefinedError as error:
            raise Reject(f"the template {mail.template} misses something in data: {error.message}") from None
        return html, text

    def _fill(self, file: str, mail: Email) -> str:
        data: Mapping[str, Any] = {**mail.data, "subject": mail.subject}
        return self._environment.get_template(file).render(data)

    def compose(self, mail: Email, *, sender: str, identity: str, when: datetime) -> bytes:
        """Make the bytes of a mail.

        Args:
            mail: what to send.
            sender: the `From`, an address, perhaps with a name.
            identity: what the `Message-ID` follows from.
            when: the `Date`.

        Raises:
            Reject: it cannot be made, such as for a header that would begin another.
        """
        html, text = self.render(mail)
        made = EmailMessage(policy=SMTP)
        try:
            made["Message-ID"] = message_id(identity, sender)
            made["Date"] = format_datetime(when.astimezone(UTC))
            made["From"] = _address(sender)
            made["To"] = Address(addr_spec=mail.to)
            made["Subject"] = mail.subject
            # RFC 3834, section 5: so that no out-of-office reply comes back.
            made["Auto-Submitted"] = "auto-generated"
            made.set_content(text, cte="quoted-printable")
            made.add_alternative(html, subtype="html", cte="quoted-printable")
            return made.as_bytes()
        except (ValueError, IndexError, LookupError) as error:
            raise Reject(f"no mail can be made of it: {error}") from None


def message_id(identity: str, sender: str) -> str:
    """Derive a `Message-ID` (RFC 5322, section 3.6.4): the same for the same message, whoever sends it and when.

    Args:
        identity: of the message; kept readable where it may stand there as it is, such as a UUID, else hashed.
        sender: whose domain it is of.
    """
    plain = identity.isascii() and identity.replace("-", "").replace(".", "").isalnum() and len(identity) <= 100  # noqa: PLR2004 - a header line has 998
    left = identity if plain and not identity.startswith(".") and ".." not in identity and identity[-1] != "." else None
    domain = parseaddr(sender)[1].rpartition("@")[2]
    return f"<{left or sha256(identity.encode()).hexdigest()}@{domain}>"


def _address(sender: str) -> Address:
    name, address = parseaddr(sender)
    return Address(display_name=name, addr_spec=address)
