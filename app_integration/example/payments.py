"""What a payment provider must be able to do, whoever it is. `sandbox.py` is one for this machine.

Both calls are about one payment by *our* id, and the provider keeps for each id one outcome for ever: asked again it
answers the same, and does nothing. That is what makes it safe to ask twice when an answer got lost, and is what real
providers offer as idempotency keys and as cancelling an intent.
"""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from app_integration.contracts import Money


@dataclass(frozen=True, slots=True)
class Charge:
    """The provider took the money; `id` is its own name for that."""

    id: str


class Declined(Exception):
    """The provider said no; the text is its reason."""


class Cancelled(Exception):
    """The payment was cancelled before: it was not charged and never will be."""


class ProviderUnavailable(Exception):
    """Nobody knows whether the provider has charged: it did not answer, or its answer got lost. Ask again."""


class PaymentProvider(Protocol):
    """A payment provider."""

    async def charge(self, payment_id: UUID, price: Money, method: str) -> Charge:
        """Take the money, once for each payment id.

        Raises:
            Declined, Cancelled, ProviderUnavailable: it did not, or nobody knows.
        """
        ...

    async def cancel(self, payment_id: UUID) -> Charge | None:
        """See to it that a payment is not charged, unless it was already.

        Returns:
            The charge, if there is one; None, and then there never will be.

        Raises:
            ProviderUnavailable: nobody knows.
        """
        ...
