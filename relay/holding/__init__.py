"""Messages that the checkpoint has passed over: who waits for what, in which order they go, when they are given up."""
