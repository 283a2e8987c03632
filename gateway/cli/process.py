"""What `run` and `serve` ask of the system, as they hold keys: no core dump, and nobody who looks into the process."""

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def keep_memory_private() -> None:
    """Have no core dump written, and let no other process of this user read the memory.

    The limit alone does not hold where the system hands dumps to a program (`core_pattern` with a `|`).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
