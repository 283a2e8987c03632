"""`leverage-gateway simulate`: the simulated venues alone."""

from typing import Annotated

from cyclopts import Parameter

from gateway.addresses import parse_listen
from gateway.cli.exits import UsageError


def simulate(
    *, listen: Annotated[str, Parameter(help="Where the control page is; venues are beside it.")] = "127.0.0.1:8090"
) -> int:
    """Run the simulated venues alone, until SIGTERM or Ctrl-C.

    ```sh
    leverage-gateway simulate --listen 127.0.0.1:8090
    ```
    """
    try:
        host, port = parse_listen(listen)
    except ValueError as error:
        raise UsageError(f"--listen: {error}") from None
    raise NotImplementedError(host, port)
