"""A payment provider for this machine, which does on demand what real ones do when it hurts.

It has a database of its own, in truth a schema beside ours, and commits for itself: our rollback takes back nothing of
it, as with a real one. What happens is chosen by the payment method, as in the sandboxes of real providers.
"""

import asyncio
import secrets
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app_integration.contracts import Money
from app_integration.example.payments import Cancelled, Charge, Declined, ProviderUnavailable

METHODS = {
    "card_ok": "is charged",
    "card_declined": "is declined: insufficient funds",
    "card_slow": "is charged after two seconds",
    "card_answer_lost": "is charged, and the first answer gets lost",
}

SLOW_SECONDS = 2.0

DECIDE = text("""
-- decide_charge: the first who asks decides; asked again, the answer is the same
with new as (
    insert into payment_sandbox.charges (payment_id, state, charge_id, amount, currency, reason)
    values (:payment_id, :state, :charge_id, :amount, :currency, :reason)
    on conflict (payment_id) do nothing
    returning state, charge_id, reason
)
select state, charge_id, reason, true as decided from new
""")

KNOWN = text("""
-- known_charge
select state, charge_id, reason, false as decided from payment_sandbox.charges where payment_id = :payment_id
""")


class Sandbox:
    """See the module; `engine` is its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def charge(self, payment_id: UUID, price: Money, method: str) -> Charge:
        """Take the money, as the method says; see `PaymentProvider`."""
        if method == "card_slow":
            await asyncio.sleep(SLOW_SECONDS)
        reason = None if method in METHODS and method != "card_declined" else "insufficient funds"
        outcome = await self._decide(payment_id, "charged" if reason is None else "declined", price, reason)
        if outcome.state == "cancelled":
            raise Cancelled
        if outcome.state == "declined":
            raise Declined(outcome.reason)
        if method == "card_answer_lost" and outcome.decided:
            raise ProviderUnavailable("the answer got lost")
        return Charge(outcome.charge_id)

    async def cancel(self, payment_id: UUID) -> Charge | None:
        """Cancel unless charged; see `PaymentProvider`."""
        outcome = await self._decide(payment_id, "cancelled", None, None)
        return Charge(outcome.charge_id) if outcome.state == "charged" else None

    async def _decide(
        self, payment_id: UUID, state: str, price: Money | None, reason: str | None
    ) -> Row[tuple[object, ...]]:
        values = {
            "payment_id": str(payment_id),
            "state": state,
            "charge_id": f"ch_{secrets.token_hex(12)}" if state == "charged" else None,
            "amount": price.amount if price else None,
            "currency": price.currency if price else None,
            "reason": reason,
        }
        async with self._engine.begin() as connection:
            new = (await connection.execute(DECIDE, values)).one_or_none()
            return new or (await connection.execute(KNOWN, values)).one()
