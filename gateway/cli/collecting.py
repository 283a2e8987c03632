"""How often a process that runs for months looks for garbage in rings."""

import gc

COLLECT_AFTER = 20_000  # objects more; a command makes a hundred, and hardly any refer to each other in a ring


def rest_from_collecting() -> None:
    """Look seldom, and never at what is there by now."""
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
