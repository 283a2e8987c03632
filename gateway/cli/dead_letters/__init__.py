"""`leverage-gateway dead-letters`: see what failed, judge it against now, send it again, put it aside, mend it.

`look`, `redrive`, `batches`, `archive`, `mend` are the verbs; `options` is what they are told, `rows` what they print.
"""

from cyclopts import App

from gateway.cli.dead_letters.archive import archive, restore
from gateway.cli.dead_letters.batches import batches
from gateway.cli.dead_letters.look import groups, list_letters, show
from gateway.cli.dead_letters.mend import export, mend
from gateway.cli.dead_letters.redrive import redrive


def make_dead_letters_app() -> App:
    """The commands on dead letters."""
    app = App(name="dead-letters", help="See, judge and send again what the gateway put aside.")
    app.command(list_letters, name="list")
    for command in (groups, show, redrive, batches, archive, restore, export, mend):
        app.command(command)
    return app
