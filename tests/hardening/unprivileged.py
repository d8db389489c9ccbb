"""Be refused as any user is: without root's power to ignore permissions, while staying the owner of one's files."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
IGNORE_PERMISSIONS = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, man 7 capabilities


class _Head(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Give up the capabilities for a while, in this thread. Users other than root have none to give up."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    head, sets = _Head(VERSION, 0), (_Sets * 2)()
    libc.capget(ctypes.byref(head), sets)
    before = sets[0].effective
    sets[0].effective = before & ~IGNORE_PERMISSIONS
    assert libc.capset(ctypes.byref(head), sets) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        sets[0].effective = before
        libc.capset(ctypes.byref(head), sets)
