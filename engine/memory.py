"""Memory that a run needs and the machine has."""

import ctypes
import os

from .sentences import UserError


def available():
    """Bytes of memory that are free to use, or None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    if os.name == "nt":
        class Status(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong),
                        *((name, ctypes.c_ulonglong) for name in ("total", "free", "pages", "pages_free", "virtual",
                                                                  "virtual_free", "extended"))]
        status = Status(length=ctypes.sizeof(Status))
        return status.free if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else None
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def need(size, way_out):
    """Raise UserError where `size` bytes are not to be had; `way_out` is the sentence on what to do then."""
    free = available()
    if free is not None and size > free:
        raise UserError("This run needs {needed} GB of memory and {free} GB are free. {way_out}",
                        needed=f"{size / 1e9:.1f}", free=f"{free / 1e9:.1f}", way_out=way_out)
