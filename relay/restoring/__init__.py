"""A database that is no longer the one that was published from: dumps, upgrades, standbys, and how to go on."""
