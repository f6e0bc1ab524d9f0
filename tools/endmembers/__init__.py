"""Which materials: endmember extraction."""
