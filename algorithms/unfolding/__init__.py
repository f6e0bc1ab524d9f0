"""Iterative algorithms unrolled into networks: each layer is an iteration, with parameters of its own to be learned."""
