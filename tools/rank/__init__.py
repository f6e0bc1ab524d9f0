"""How many materials: rank estimation."""
