"""Strict imitation venues, for tests, the demo and a first look; no code is shared with what they judge.

Start a `Simulator`, point a gateway's `base_url`s at it (`config.write_gateway_config` does), and read its journal.
"""

from gateway.simulator.accounts import SimulatedAccount as SimulatedAccount
from gateway.simulator.accounts import demo_accounts as demo_accounts
from gateway.simulator.faults import Fault as Fault
from gateway.simulator.server import Simulator as Simulator
from gateway.simulator.settings import SimulatorSettings as SimulatorSettings
