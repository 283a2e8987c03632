"""Which release this is, as `--version`, the start's log line and `gateway_build_info` tell."""

from importlib import metadata


def version() -> str:
    """The installed distribution's version; `unknown` where the code runs without being installed."""
    try:
        return metadata.version("leverage-gateway")
    except metadata.PackageNotFoundError:
        return "unknown"
