"""An append-only log, each entry's hash over the one before, and its verification."""
