"""Builds the wheel and the sdist into a folder, with the build backend that is pinned and installed: no network.

`make build` runs it in the repository; it is what `python -m build` does, less the environment of its own.
"""

import sys
from importlib import import_module
from typing import Any


def main() -> int:
    """Print the names of what was built."""
    backend: Any = import_module("uv_build")
    for build in (backend.build_sdist, backend.build_wheel):
        print(f"{sys.argv[1]}/{build(sys.argv[1])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
