"""Dead letters seen, judged, sent again and put aside: the verbs of `leverage-gateway dead-letters`, as a library.

`desk` has the verbs, and `letters` what a letter is and the filters; `known` is what the topics say of lanes now,
`verdicts` what would become of a letter, `plan` the file that pins them; `redrive` applies it by `publishing`'s
transactions.
"""

from gateway.client.dead_letters.desk import Coverage, DeadLetters, open_dead_letters
from gateway.client.dead_letters.letters import Filters, Letter, LetterRow
from gateway.client.dead_letters.plan import LetterVerdict, Plan, PlanError, read_plan, write_plan
from gateway.client.dead_letters.publishing import TakenOverError
from gateway.client.dead_letters.redrive import RedriveOptions, StoppedError
from gateway.client.dead_letters.verdicts import Verdict

__all__ = [
    "Coverage",
    "DeadLetters",
    "Filters",
    "Letter",
    "LetterRow",
    "LetterVerdict",
    "Plan",
    "PlanError",
    "RedriveOptions",
    "StoppedError",
    "TakenOverError",
    "Verdict",
    "open_dead_letters",
    "read_plan",
    "write_plan",
]
