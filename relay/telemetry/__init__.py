"""What the relay tells of itself, for people and for machines that read logs.

Law: listens to events and changes nothing; whoever tells is never asked for more than what the event says.
"""
