"""Which shards are ours, who else is alive, and how a relay that is not is found out: locks and silence, no clock."""
