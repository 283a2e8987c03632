# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# aiokafka ships no types.
"""Which of the brokers that the settings name answer, found once for all clients; and why the others do not.

`app` and the command line ask before the first client is made: aiokafka tries host after host, each for the time of a
whole request, and of a connection that failed it says only that no broker answers. Here all are tried side by side,
step by step: connection, TLS, Kafka's first requests, password.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from aiokafka.protocol.metadata import MetadataRequest

from gateway.kafka.connection import UnreachableError, where
from gateway.kafka.tokens import TokenError
from gateway.settings.tree import KafkaSettings

OTHERS_PATIENCE = 2.0  # seconds for the other hosts, once one answers
START_AGAIN = 2.0  # seconds
LOOK_AGAIN = 30.0  # seconds; clients made later must not hang on hosts that left
TLS_ALERT = 0x15
_API_VERSIONS = struct.pack(">hhih", 18, 0, 1, -1)
_METADATA_OF_NO_TOPICS = struct.pack(">hhihi", 3, 1, 2, -1, 0)

# OpenSSL's numbers of what is wrong with a certificate (`verify_code`).
_EXPIRED, _NOT_YET_VALID = 10, 9
_OTHER_HOST, _OTHER_ADDRESS = 62, 64


class _NotLiveError(Exception):
    """Raised where a host is of no use; its text is the reason."""


class BootstrapServers:
    """The hosts to bootstrap from: all that the settings name, and after `find` those that answer.

    Args:
        settings: names the hosts.
        options: of all clients; their `bootstrap_servers` are kept to the hosts that answer.
        told: called with a host and why it is of no use, when that becomes known.
    """

    def __init__(
        self, settings: KafkaSettings, options: dict[str, Any], told: Callable[[str, str], None] | None = None
    ) -> None:
        self._settings = settings
        self._options = options
        self._told = told or _log_missed
        self._hosts: list[str] = list(options["bootstrap_servers"])
        self._missed: dict[str, str] = {}

    async def find(self) -> None:
        """Keep the hosts that answer; UnreachableError with each one's reason where none does."""
        reasons = await self._look()
        live = [host for host in self._hosts if host not in reasons]
        if not live:
            raise UnreachableError(f"{where(self._settings)}: {_in_one_line(reasons)}")
        self._options["bootstrap_servers"] = live
        for host, reason in reasons.items():
            if host not in self._missed:
                self._told(host, reason)
        self._missed = reasons

    async def wait(self) -> None:
        """As `find`, and again for `kafka.start_patience` seconds while none answers."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.start_patience
        while True:
            try:
                return await self.find()
            except UnreachableError as error:
                if loop.time() >= until:
                    raise
                _log().warning("missed_kafka", doing="start", error=str(error))
            await asyncio.sleep(START_AGAIN)

    async def watch(self) -> None:
        """Look again from time to time, for ever; while none answers the last ones that did are kept."""
        while len(self._hosts) > 1:
            await asyncio.sleep(LOOK_AGAIN)
            try:
                await self.find()
            except UnreachableError:
                continue

    async def _look(self) -> dict[str, str]:
        """Why hosts are of no use, by host; those that are not in it answer."""
        tasks = {asyncio.create_task(_reach(host, self._options)): host for host in self._hosts}
        try:
            await _until_others_had_time(set(tasks), self._settings.request_timeout_ms / 1000)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        return {host: reason for task, host in tasks.items() if (reason := _reason(task)) is not None}


async def reachable(settings: KafkaSettings, options: dict[str, Any]) -> dict[str, Any]:
    """The options of clients, kept to hosts that answer; UnreachableError where none does."""
    await BootstrapServers(settings, options).find()
    return options


async def _until_others_had_time(tasks: set[asyncio.Task[None]], patience: float) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    pending = tasks
    while pending and (left := until - loop.time()) > 0:
        done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if any(task.exception() is None for task in done):
            until = min(until, loop.time() + OTHERS_PATIENCE)


def _reason(task: asyncio.Task[None]) -> str | None:
    if task.cancelled():
        return "no answer in time"
    error = task.exception()
    return None if error is None else str(error) or type(error).__name__


def _in_one_line(reasons: Mapping[str, str]) -> str:
    if len(set(reasons.values())) == 1:
        return next(iter(reasons.values()))
    return "; ".join(f"{host}: {reason}" for host, reason in reasons.items())


def _log_missed(host: str, reason: str) -> None:
    _log().warning("missed_broker", host=host, reason=reason)


def _log() -> Any:
    return structlog.get_logger("gateway")


async def _reach(server: str, options: Mapping[str, Any]) -> None:
    """Go as far as a client would; _NotLiveError with the reason where that is not far enough."""
    host, port, _ = collect_hosts([server])[0]
    protocol: str = options["security_protocol"]
    reader, writer = await _connect(host, port)
    try:
        if protocol.endswith("SSL"):
            await _start_tls(writer, host, options["ssl_context"])
        await _speak(reader, writer, protocol)
    finally:
        writer.transport.abort()
    if protocol.startswith("SASL"):
        await _authenticate(host, port, options)


async def _connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_connection(host, port)
    except socket.gaierror as error:
        raise _NotLiveError("there is no host of this name") from error
    except ConnectionRefusedError as error:
        raise _NotLiveError("the connection is refused: nothing listens there") from error
    except OSError as error:
        raise _NotLiveError(f"no connection: {error.strerror or error}") from error


async def _start_tls(writer: asyncio.StreamWriter, host: str, context: ssl.SSLContext) -> None:
    try:
        await writer.start_tls(context, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise _NotLiveError(_wrong_certificate(error)) from error
    except ssl.SSLError as error:
        raise _NotLiveError(_refused_by_tls(error)) from error
    except (OSError, EOFError) as error:
        raise _NotLiveError(
            "the TLS handshake is not answered: the listener may not speak TLS (kafka.security_protocol)"
        ) from error


def _wrong_certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in {_EXPIRED, _NOT_YET_VALID}:
        return f"the broker's certificate is out of date: {error.verify_message}"
    if error.verify_code in {_OTHER_HOST, _OTHER_ADDRESS}:
        return f"the broker's certificate is not for this host: {error.verify_message}"
    return f"the broker's certificate is of no CA that is trusted (kafka.ssl_cafile): {error.verify_message}"


def _refused_by_tls(error: ssl.SSLError) -> str:
    said = (error.reason or str(error)).replace("_", " ").lower()
    if "alert" in said:
        return f"the broker refuses our certificate, or misses one (kafka.ssl_certfile): {said}"
    return f"the listener does not speak TLS as we do (kafka.security_protocol): {said}"


async def _speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: str) -> None:
    """Send what any client sends first; before a password is asked for, a listener that wants one takes no more."""
    requests = [_API_VERSIONS] if protocol.startswith("SASL") else [_API_VERSIONS, _METADATA_OF_NO_TOPICS]
    for request in requests:
        try:
            writer.write(struct.pack(">i", len(request)) + request)
            size = await reader.readexactly(4)
            if not protocol.endswith("SSL") and size[0] == TLS_ALERT:
                raise _NotLiveError("the listener speaks TLS: kafka.security_protocol is SSL or SASL_SSL there")
            await reader.readexactly(int.from_bytes(size, "big"))
        except ssl.SSLError as error:
            raise _NotLiveError(_refused_by_tls(error)) from error
        except (OSError, EOFError) as error:
            raise _NotLiveError(_hung_up(request, protocol)) from error


def _hung_up(request: bytes, protocol: str) -> str:
    if request is _METADATA_OF_NO_TOPICS:
        return "the listener hangs up on who has not logged in: kafka.security_protocol is one with SASL there"
    if protocol.endswith("SSL"):
        return "the broker hangs up after the TLS handshake: it may want a certificate of ours (kafka.ssl_certfile)"
    return "the listener hangs up at the first request: it may want TLS (kafka.security_protocol)"


async def _authenticate(host: str, port: int, options: Mapping[str, Any]) -> None:
    wanted = {name: value for name, value in options.items() if name != "bootstrap_servers"}
    try:
        connection = await create_conn(host, port, **wanted)
        if wanted["sasl_mechanism"] == "OAUTHBEARER":
            await _ask_with_token(connection)
    except SaslAuthenticationFailed as error:
        files = "kafka.sasl_username, kafka.sasl_password_file"
        raise _NotLiveError(f"the broker refuses the user name or the password ({files})") from error
    except UnsupportedSaslMechanismError as error:
        raise _NotLiveError(f"the broker takes no {wanted['sasl_mechanism']} (kafka.sasl_mechanism)") from error
    except TokenError as error:
        raise _NotLiveError(str(error.args[0])) from error
    except (KafkaError, OSError) as error:
        said = type(error).__name__
        raise _NotLiveError(f"the listener takes no login with SASL (kafka.security_protocol): {said}") from error
    connection.close()


async def _ask_with_token(connection: Any) -> None:
    """The client library takes a refused token for a login: see whether the broker answers what comes after it.

    What answers is not: it says that a login is expected, which reads as a cluster without brokers, and hangs up.
    """
    try:
        is_known = bool((await connection.send(MetadataRequest([]))).brokers)
    except KafkaError:
        is_known = False
    if not is_known:
        connection.close()
        raise _NotLiveError("the broker refuses the token (kafka.oauth_token_file, kafka.oauth_token_endpoint)")
