"""What a decision costs: `python -m tests.policy.cost`; microseconds by number of rules and accounts, run by hand."""

import time
from decimal import Decimal

from gateway.clock import SystemClock
from gateway.policy.board import Board
from gateway.policy.guard import PolicyGuard
from schemas import BinanceUsdm, SetLeverage
from tests.policy.desk import applied, freeze, put
from tests.policy.test_guard import Counted

ROUNDS = 200_000


class Silent(Counted):
    """Counts nothing."""

    def allowed(self, command):
        pass

    def denied(self, command, refusal):
        pass


def rules(count: int, *, with_step: bool) -> str:
    """Half of them for one account each, a quarter for one symbol each, the others patterns; two meet everybody."""
    limit = "step_up = 100" if with_step else "maximum = 90"
    lines = ["[rules.all]\nmaximum = 100\nminimum = 1", f'[rules.usdm]\nvenue = "binance_usdm"\n{limit}']
    for number in range(count - 2):
        whom = (
            f'account = "desk-{number}"',
            f'account = "desk-{number}"',
            f'symbol = "S{number}"',
            f'symbol = "P{number}*"',
        )
        lines.append(f"[rules.r{number}]\n{whom[number % 4]}\nmaximum = 50")
    return "\n".join(lines)


def measure(rule_count: int, accounts: int, *, with_step: bool) -> float:
    """Microseconds a decision: at admission and again before the call."""
    guard, board = PolicyGuard(SystemClock(), Silent(), freeze_after=60.0), Board()
    assert put(board, applied(rules(rule_count, with_step=with_step))) is None
    put(board, freeze())
    put(board, freeze("open", replaces=board.current("freeze:everything").id))
    guard.rule(board.ruling)
    past = guard.past()
    commands = [
        SetLeverage(
            command_id="c",
            account=f"desk-{number % accounts}",
            leverage=Decimal(20),
            target=BinanceUsdm(symbol="BTCUSDT"),
        )
        for number in range(min(accounts, ROUNDS))
    ]
    for command in commands:
        past.learn(("binance_usdm", command.account, "BTCUSDT"), Decimal(10), 0.0)
    begun = time.process_time()
    done = 0
    while done < ROUNDS:
        for command in commands:
            past.verdict(command)
        done += len(commands)
    return (time.process_time() - begun) / done * 1e6


if __name__ == "__main__":
    for rule_count in (10, 1_000):
        for accounts in (10, 1_000, 10_000, 100_000):
            bounds, step = (measure(rule_count, accounts, with_step=with_step) for with_step in (False, True))
            print(f"{rule_count:>6} rules {accounts:>7} accounts: {bounds:.2f} us, with a step to judge {step:.2f} us")
