"""What was sent is kept for a while and then given back to the disk: the ring of slots, and the chores that turn it."""
