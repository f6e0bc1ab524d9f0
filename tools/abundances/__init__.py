"""How much of each: abundances for given endmembers."""
