"""Certificates and passwords that change on disk are used from the next connection on, without a restart."""

import asyncio
import ssl
import time
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.x509.oid import NameOID

from gateway.kafka.connection import client_options
from gateway.kafka.credentials import BrokerCredentials
from gateway.settings.tree import KafkaSettings
from schemas import LeverageChanged
from tests.app.processes import until
from tests.app.rig import deployed
from tests.certificates import Authority


class Told:
    def __init__(self):
        self.ends, self.reloaded, self.kept = [], 0, []

    def certificate_ends(self, at):
        self.ends.append(at)

    def reloaded_kafka_credentials(self):
        self.reloaded += 1

    def kept_old_kafka_credentials(self, problem):
        self.kept.append(problem)


class Rotation:
    """A folder with a CA and our certificate, the options that came of it, and who keeps them in step."""

    def __init__(self, folder):
        self.folder = folder
        self.told = Told()
        self.ca = Authority(folder, "ca")
        self.ca.issue("first").rename(folder / "ours.pem")
        (folder / "password").write_text("first-password")
        settings = KafkaSettings(
            security_protocol="SASL_SSL",
            sasl_username="u",
            sasl_password_file="password",
            ssl_cafile="ca.pem",
            ssl_certfile="ours.pem",
        )
        self.options = client_options(settings, folder)
        self.secrets_changed = 0
        self.credentials = BrokerCredentials(
            settings,
            folder,
            self.options,
            consumer=lambda: None,
            observer=self.told,
            secrets_changed=self._secrets_changed,
        )

    def _secrets_changed(self):
        self.secrets_changed += 1
        assert self.options["sasl_plain_password"] == "first-password"  # not used yet

    def replace(self, name, data):
        (self.folder / "new").write_bytes(data)
        (self.folder / "new").rename(self.folder / name)


@pytest.fixture
def rotation(tmp_path):
    return Rotation(tmp_path)


@asynccontextmanager
async def server_of(certificate, ca):
    """A TLS server that wants a certificate of whom it trusts; whose it was shown."""
    shown = []

    async def meet(reader, writer):
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        subject = x509.load_der_x509_certificate(der).subject
        shown.append(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        writer.write(b"x")
        await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate)
    async with await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1], shown


async def connect(port, context):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    await reader.readexactly(1)
    writer.transport.abort()


async def test_a_renewed_certificate_is_shown_at_the_next_connection(rotation):
    context = rotation.options["ssl_context"]
    async with server_of(rotation.ca.issue("server"), rotation.ca.file) as (port, shown):
        await connect(port, context)
        rotation.replace("ours.pem", rotation.ca.issue("second").read_bytes())
        rotation.credentials.reload()
        await connect(port, context)
    assert shown == ["first", "second"]
    assert rotation.told.reloaded == rotation.secrets_changed == 1
    assert len(rotation.told.ends) == 2
    assert all(at > time.time() for at in rotation.told.ends)


async def test_an_authority_that_is_added_is_trusted_at_the_next_connection(rotation, tmp_path):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other")
    async with server_of(other.issue("server"), rotation.ca.file) as (port, _):
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(port, rotation.options["ssl_context"])
        rotation.replace("ca.pem", (rotation.ca.file.read_bytes() + other.file.read_bytes()))
        rotation.credentials.reload()
        await connect(port, rotation.options["ssl_context"])


async def test_a_key_that_is_encrypted_is_opened_by_the_password_in_its_file_and_so_is_the_next_one(rotation):
    def issue(name, password):
        rotation.ca.issue(name, password=password).rename(rotation.folder / "locked.pem")
        rotation.replace("key-password", password)

    issue("first", b"first-7f3c9d")
    settings = KafkaSettings(
        security_protocol="SSL", ssl_cafile="ca.pem", ssl_certfile="locked.pem", ssl_password_file="key-password"
    )
    options = client_options(settings, rotation.folder)
    credentials = BrokerCredentials(
        settings,
        rotation.folder,
        options,
        consumer=lambda: None,
        observer=rotation.told,
        secrets_changed=lambda: None,
    )
    async with server_of(rotation.ca.issue("server"), rotation.ca.file) as (port, shown):
        await connect(port, options["ssl_context"])
        issue("second", b"second-7f3c9d")
        credentials.reload()
        await connect(port, options["ssl_context"])
    assert shown == ["first", "second"]
    rotation.replace("key-password", b"wrong-7f3c9d")
    credentials.reload()
    [problem] = rotation.told.kept
    assert "ssl_password_file" in problem
    assert "7f3c9d" not in problem


@pytest.mark.parametrize(
    ("name", "data", "setting"),
    [
        ("ours.pem", b"-----BEGIN 7f3c9d", "kafka.ssl_certfile"),
        ("ca.pem", b"", "kafka.ssl_cafile"),
        ("password", b"two\nlines-7f3c9d", "kafka.sasl_password_file"),
    ],
)
async def test_a_file_that_is_of_no_use_is_told_once_and_the_old_one_stays_in_use(rotation, name, data, setting):
    rotation.replace(name, data)
    rotation.credentials.reload()
    rotation.credentials.reload()
    [problem] = rotation.told.kept
    assert setting in problem
    assert "7f3c9d" not in problem
    assert rotation.options["sasl_plain_password"] == "first-password"
    assert rotation.told.reloaded == rotation.secrets_changed == 0


def test_files_that_change_between_two_readings_end_nothing_and_are_read_at_the_next_look(rotation):
    class Torn:
        def load_verify_locations(self, _file):
            raise ssl.SSLError("torn")

    whole, rotation.options["ssl_context"] = rotation.options["ssl_context"], Torn()
    rotation.replace("ours.pem", rotation.ca.issue("second").read_bytes())
    rotation.credentials.reload()
    assert rotation.told.kept == ["files that change just now: SSLError"]
    rotation.options["ssl_context"] = whole
    rotation.replace("ours.pem", rotation.ca.issue("third").read_bytes())
    rotation.credentials.reload()
    assert rotation.told.reloaded == 1


def test_a_new_password_is_in_the_options_of_new_clients_and_files_that_did_not_change_change_nothing(rotation):
    rotation.credentials.reload()
    assert rotation.told.reloaded == 0
    rotation.replace("password", b"second-password")
    rotation.credentials.reload()
    assert rotation.options["sasl_plain_password"] == "second-password"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(secured):
    async with deployed(secured.cluster.bootstrap_servers, secured.folder) as rig:
        yield rig


def set_password(secured, password):
    secured.set_scram("rotating", password)
    (secured.folder / "rotating").write_text(password)


@pytest.mark.kafka
@pytest.mark.asyncio(loop_scope="module")
async def test_a_gateway_whose_password_was_rotated_logs_in_anew_and_goes_on(secured, rig):
    """Its connections are cut, as a broker does that restarts."""
    await asyncio.to_thread(set_password, secured, "first-password")
    mechanism = {"sasl_mechanism": "SCRAM-SHA-256", "sasl_username": "rotating", "sasl_password_file": "rotating"}
    async with rig.gateway(rig.settings(kafka=secured.changes("LOGIN", **mechanism))) as gateway:
        before, after = rig.command(leverage=3), rig.command(leverage=4)
        await rig.ask(before)
        await asyncio.to_thread(set_password, secured, "second-password")
        gateway.credentials.reload()
        network = gateway.group.consumer._client
        old = set(network._conns.values())
        for connection in old:
            connection.close()
        await until(lambda: network._conns and not old & set(network._conns.values()), "it has logged in anew")
        [event] = await rig.ask(after)
        assert isinstance(event, LeverageChanged)
        await until(lambda: gateway.health.ready()[0], "it is ready")
    assert [len(rig.events(command)) for command in (before, after)] == [1, 1]
