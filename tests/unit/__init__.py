"""Pure decisions: no server, no network."""
