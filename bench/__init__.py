"""What the docs hold: the parts of `relay bench` at a scale that takes an hour and tens of gigabytes of disk.

- `python -m bench`: measures, and stores what each part found as soon as it is over.
- `store`: the stored figures.
- `growth`: how the relay bears deeper backlogs and larger payloads, drawn.
- `workers`, `realtime`, `registrations`: the figures of Edu Matrix, each made by its own command; `section` puts one
  into the page.
- `page`: puts the stored figures into `docs/performance.md`, and draws them.
"""
