"""How the relay is: what `relay status` and `relay doctor` find."""
