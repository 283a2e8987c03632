"""Dead letters seen, judged, sent again and put aside: the verbs of `leverage-gateway dead-letters`, as a library.

`desk` has the verbs, and `letters` what a letter is and the filters. To see: `log` reads letters, `codes` their venues'
codes, `dispositions` what was done with them, `groups` counts, `brakes` tells what was left out, `detail` all of one.
To judge: `known` is what lanes have now and `health` whether their venues answer, `verdicts` what would become of a
letter, `plan` the file that pins them. To redrive: `redrive` applies a plan at a `pace` (`members` tells whether a
gateway is there to answer), `writes` makes the records, and `publishing` is the transactions. To follow and mend:
`batches`, `drafts`. `coverage` ends every answer.
"""

from gateway.client.dead_letters.batches import Batch, BatchLetter
from gateway.client.dead_letters.coverage import Coverage, coverage_of_places
from gateway.client.dead_letters.desk import DeadLetters, open_dead_letters
from gateway.client.dead_letters.detail import LetterDetail
from gateway.client.dead_letters.drafts import Draft, DraftError, NotMendableError, read_draft, write_draft
from gateway.client.dead_letters.groups import GroupBy, LetterGroup
from gateway.client.dead_letters.health import Brake
from gateway.client.dead_letters.letters import Filters, Letter, LetterRow
from gateway.client.dead_letters.pace import StoppedError
from gateway.client.dead_letters.plan import LetterVerdict, Plan, PlanError, parse_place, read_plan, write_plan
from gateway.client.dead_letters.publishing import TakenOverError
from gateway.client.dead_letters.redrive import RedriveOptions, chosen_places
from gateway.client.dead_letters.verdicts import Verdict

__all__ = [
    "Batch",
    "BatchLetter",
    "Brake",
    "Coverage",
    "DeadLetters",
    "Draft",
    "DraftError",
    "Filters",
    "GroupBy",
    "Letter",
    "LetterDetail",
    "LetterGroup",
    "LetterRow",
    "LetterVerdict",
    "NotMendableError",
    "Plan",
    "PlanError",
    "RedriveOptions",
    "StoppedError",
    "TakenOverError",
    "Verdict",
    "chosen_places",
    "coverage_of_places",
    "open_dead_letters",
    "parse_place",
    "read_draft",
    "read_plan",
    "write_draft",
    "write_plan",
]
