"""How a simulator is made: its accounts and bounds, and how strictly it counts."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from gateway.simulator.accounts import SimulatedAccount, demo_accounts
from gateway.simulator.windows import Windows

Count = Annotated[int, Meta(ge=1)]


class SimulatorSettings(Struct, frozen=True, kw_only=True):
    """What can be chosen at start.

    Attributes:
        windows: `fixed` counts wall-clock windows as the venues do; `sliding` any window, wherever it starts.
        capacities: other capacities than the published ones, by `<venue>:<limit>`.
        ban_after: ignored 429s that earn an address a ban.
        journal_size: entries that are kept; older ones are forgotten.
    """

    accounts: tuple[SimulatedAccount, ...] = msgspec.field(default_factory=demo_accounts)
    windows: Windows = "fixed"
    capacities: dict[str, Count] = {}
    ban_after: Count = 5
    journal_size: Count = 200_000
