"""Calls: what clients ask for, and which of them are told what. The media go from browser to browser, not through here.

Guarantees: the two sides of a call, and nobody else, hear of it: all of the callee's connections while it rings, then
the one that answered. A candidate comes after what it belongs to, the offer or the answer, though it travels by a
shorter way: it is kept until that has come.
"""

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from app_integration.realtime import attendance, call_store
from app_integration.realtime.calls import State, Step, ending
from app_integration.realtime.clients import Client
from app_integration.realtime.names import room_of
from app_integration.realtime.place import Place
from app_integration.realtime.records import Kind, Record
from app_integration.realtime.refusal import Refusal
from app_integration.realtime.requests import Answer, Candidate, HangUp, Invite

MOST_EARLY = 64
"""Candidates kept of one side of one call."""

FORGET_SECONDS = 60.0
"""After which a call that was heard of by its candidates alone is forgotten."""


@dataclass(slots=True)
class Line:
    """A call, as far as this server has a side of it."""

    callee: str = ""
    caller_connection: str | None = None
    callee_connection: str | None = None
    told: set[str] = field(default_factory=set)
    """The sides whose description has come through Kafka; candidates of others are early."""
    early: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"caller": [], "callee": []})
    since: float = field(default_factory=time.monotonic)


class Desk:
    """The telephone exchange of one server.

    Args:
        place: the server's.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lines: dict[str, Line] = {}

    async def invite(self, client: Client, asked: Invite) -> dict[str, Any]:
        """Let somebody's connections ring."""
        if asked.to == client.user_id:
            raise Refusal("invalid", "you cannot call yourself", field="to")
        if not await self._place.policy.may_call(client.user_id, asked.to):
            raise Refusal("forbidden", f"you may not call {asked.to}")
        call_id = uuid4()
        settings = self._place.settings
        invitation = call_store.Invitation(
            call_id, client.user_id, asked.to, client.sid, self._place.server_id, asked.media, settings.ring_seconds
        )
        async with self._place.pool.connection() as connection:
            if not await attendance.is_present(connection, room_of(asked.to), asked.to):
                raise Refusal("offline", f"{asked.to} is not connected")
            until = await call_store.invite(connection, invitation, asked.offer.model_dump())
        # It may have been heard of in the meantime.
        self._line(str(call_id)).caller_connection = client.sid
        await self._demand_connection(client, call_id)
        return {"callId": str(call_id), "until": until}

    async def answer(self, client: Client, asked: Answer) -> dict[str, Any]:
        """Take a call."""
        async with self._place.pool.connection() as connection:
            call = await call_store.answer(
                connection,
                asked.call_id,
                client.user_id,
                client=client.sid,
                server_id=self._place.server_id,
                given=asked.answer.model_dump(),
            )
        line = self._line(str(asked.call_id))
        line.caller_connection, line.callee_connection = call.caller_connection, client.sid
        await self._demand_connection(client, asked.call_id)
        return {"callId": str(asked.call_id)}

    async def candidate(self, client: Client, asked: Candidate) -> dict[str, Any]:
        """Pass a candidate to the other side."""
        call_id = str(asked.call_id)
        line = self._lines.get(call_id, Line())
        if client.sid not in (line.caller_connection, line.callee_connection):
            raise call_store.no_such_call()
        side = "caller" if client.sid == line.caller_connection else "callee"
        candidate = asked.candidate.model_dump(by_alias=True, exclude_unset=True)
        body = {"event": "candidate", "callId": call_id, "side": side, "candidate": candidate}
        self._place.ephemeral.send(Record(Kind.CALL, f"call:{call_id}", body))
        return {}

    async def hang_up(self, client: Client, asked: HangUp) -> dict[str, Any]:
        """End a call, take it back, or decline it."""

        def step(call: call_store.Call) -> Step:
            state = State(call.state)
            by_caller = client.sid == call.caller_connection
            declines = state is State.RINGING and client.user_id == call.callee
            if not (by_caller or declines or client.sid == call.callee_connection):
                raise call_store.no_such_call()
            return ending(state, by_caller=by_caller)

        async with self._place.pool.connection() as connection:
            why = await call_store.end(connection, asked.call_id, step, client.user_id)
        return {"callId": str(asked.call_id), "why": why}

    async def tell(self, record: Record) -> None:
        """Tell the sides that are here what has happened to a call."""
        body = record.body
        await {
            "incoming": self._incoming,
            "answered": self._answered,
            "ended": self._ended,
            "candidate": self._candidate,
        }[body["event"]](body["callId"], body)

    def forget(self) -> None:
        """Forget calls of which nothing but candidates was heard: they were over before, or are none of ours."""
        old = time.monotonic() - FORGET_SECONDS
        for call_id, line in list(self._lines.items()):
            if line.since < old and line.caller_connection is None:
                del self._lines[call_id]

    def _line(self, call_id: str) -> Line:
        return self._lines.setdefault(call_id, Line())

    async def _demand_connection(self, client: Client, call_id: UUID) -> None:
        """End a call whose side has gone while it was written."""
        if self._place.clients.find(client.sid) is not client:
            self._lines.pop(str(call_id), None)
            async with self._place.pool.connection() as connection:
                await call_store.end_if_going(connection, call_id, Step.LOSE)

    async def _incoming(self, call_id: str, body: dict[str, Any]) -> None:
        rings = self._place.clients.of_user(body["callee"])
        if not rings and self._place.clients.find(body["callerConnection"]) is None:
            self._lines.pop(call_id, None)
            return
        line = self._line(call_id)
        line.callee, line.caller_connection = body["callee"], body["callerConnection"]
        told = {name: body[name] for name in ("callId", "media", "offer", "until")}
        self._place.outlet.send(rings, "call:incoming", {**told, "from": body["caller"]})
        self._catch_up(call_id, line, "caller", rings)

    async def _answered(self, call_id: str, body: dict[str, Any]) -> None:
        here = self._place.clients
        caller, taker = here.find(body["callerConnection"]), body["calleeConnection"]
        others = [client for client in here.of_user(body["callee"]) if client.sid != taker]
        self._place.outlet.send(others, "call:ended", {"callId": call_id, "why": "answered_elsewhere", "by": None})
        if caller is None and here.find(taker) is None:
            self._lines.pop(call_id, None)
            return
        line = self._line(call_id)
        line.caller_connection, line.callee_connection = body["callerConnection"], taker
        told = [caller] if caller else []
        self._place.outlet.send(told, "call:answered", {"callId": call_id, "answer": body["answer"]})
        self._catch_up(call_id, line, "callee", told)

    async def _ended(self, call_id: str, body: dict[str, Any]) -> None:
        here = self._place.clients
        sides = [here.find(body["callerConnection"])]
        if body["calleeConnection"] is None:
            sides += here.of_user(body["callee"])
        else:
            sides.append(here.find(body["calleeConnection"]))
        told = {"callId": call_id, "why": body["why"], "by": body["by"]}
        self._place.outlet.send([side for side in sides if side], "call:ended", told)
        self._lines.pop(call_id, None)

    async def _candidate(self, call_id: str, body: dict[str, Any]) -> None:
        side, line = body["side"], self._line(call_id)
        if side in line.told:
            self._pass_on(call_id, line, side, body["candidate"])
        elif len(line.early[side]) < MOST_EARLY:
            line.early[side].append(body["candidate"])

    def _catch_up(self, call_id: str, line: Line, side: str, listeners: list[Client]) -> None:
        line.told.add(side)
        for candidate in line.early[side]:
            self._place.outlet.send(listeners, "call:candidate", {"callId": call_id, "candidate": candidate})
        line.early[side].clear()

    def _pass_on(self, call_id: str, line: Line, side: str, candidate: Any) -> None:
        here = self._place.clients
        other = line.caller_connection if side == "callee" else line.callee_connection
        one = here.find(other) if other else None
        # While it rings, any of the callee's connections may be the one that will answer.
        listeners = ([one] if one else []) if other else here.of_user(line.callee)
        self._place.outlet.send(listeners, "call:candidate", {"callId": call_id, "candidate": candidate})
