"""The command line: what is typed, and how answers look on a terminal or as JSON. Nothing imports it."""
