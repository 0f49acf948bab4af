"""What is due, and how far we are: from PostgreSQL's snapshots to pages of messages, and checkpoints behind them.

Law: nothing here talks to Kafka. A message that is read is never below a recorded position, and a position that is
recorded was published.
"""
