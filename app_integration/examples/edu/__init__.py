"""A school that sells courses: how an application writes to its outbox.

- `tables`: users, courses, enrolments and payments, in a schema of their own.
- `school`: the two things that happen, registering and buying, each one transaction. This is the part to
  copy.
- `__main__`: several writers at once, some of whose transactions fail on purpose:
  `python -m app_integration.examples.edu --database-url postgresql://localhost/school --writers 4 --seconds
  15`.

The outbox must be there (`relay migrate`). Nothing here knows of Kafka, and no relay needs to run.
"""
