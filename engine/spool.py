"""Blocks of numbers parked on disk, to be gone through again and again in bounded memory."""

import tempfile

import numpy as np


class Spool:
    """
    A re-iterable stream of (P, n) float32 blocks, kept in a temporary file that is gone with it.

    Use it as a context manager.
    """

    def __init__(self):
        self._file = tempfile.TemporaryFile()
        self._end = 0
        self._shapes = []

    def append(self, block):
        block = np.ascontiguousarray(block, dtype=np.float32)
        self._file.seek(self._end)
        self._file.write(block.tobytes())
        self._end += block.nbytes
        self._shapes.append(block.shape)

    def __iter__(self):
        start = 0
        for shape in self._shapes:
            self._file.seek(start)
            data = self._file.read(4 * shape[0] * shape[1])
            start += len(data)
            yield np.frombuffer(data, dtype=np.float32).reshape(shape)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
