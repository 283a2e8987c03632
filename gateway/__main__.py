"""`python -m gateway` is the command `leverage-gateway`."""

from gateway.cli import main

if __name__ == "__main__":
    main()
