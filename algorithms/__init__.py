"""The science: arrays in, arrays out. One module per method, grouped by the question it answers."""
