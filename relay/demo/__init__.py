"""The main job, shown and judged: `relay demo`.

Real writers commit and roll back, two relays publish, one of them is killed and comes back, and a process
that trusts neither counts what is in Kafka. What it ends with is a verdict that can fail, not a show.

- `play`: what happens when, and the exit code.
- `stage`: PostgreSQL, Kafka, a database and topics that are the demo's alone.
- `actors`: the relays and the writers, processes of their own.
- `figures`: the counts while it runs, and what the verdict is made of.
- `screen`: a live table on a terminal, lines elsewhere.
- `outcome`: the verdict in words. Pure.

It can be interrupted at any moment, and leaves nothing behind: no process, no folder, and on servers that it was
pointed at no database and no topic.
"""

from relay.demo.play import Plan, run

__all__ = ["Plan", "run"]
