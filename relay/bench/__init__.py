"""What the relay costs and how fast it is, on the machine at hand: `relay bench`.

Each figure is measured beside its reference, in turn with it, so that a slow or busy machine slows both; goals are set
on the ratio wherever there is something to compare with. Every part works in a database and topics of its own, made for
it and removed after it: locks and notifications are per database, so no outbox that exists is touched or slowed by one.

- `figure`: what was measured, and whether it meets its goal. Pure.
- `scale`: how many rows, runs and seconds. Pure.
- `ground`: the servers, and the databases and topics made on them.
- `child`, `inside`: what is measured runs in processes of its own, whose processor time and memory are theirs alone.
- `parts`: the catalogue; the files it names are the measurements, a part each.
- `play`: runs parts one after the other; `table`, `plot`: how they are shown.
"""
