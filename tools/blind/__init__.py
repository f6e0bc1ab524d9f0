"""Which and how much at once: blind unmixing."""
