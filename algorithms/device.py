"""Where torch computes, and with how many threads."""

from contextlib import contextmanager

import torch


def device():
    """Where networks are evaluated for many pixels: the graphics processor if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def one_thread_each():
    """
    Let torch compute in the calling threads only, until the end of the block or of the function it decorates.

    For passes over pixels that are shared between threads anyway: torch would start threads of its own in each, which
    wait for each other actively, the longer the busier the machine. The setting is the whole process's; do not enter
    from several threads at once.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
