# pyright: reportPrivateImportUsage=false
# confluent_kafka.admin is where its documentation has them.
"""One broker with a listener of each kind, an authorizer, and the files to reach it with; `conftest` starts it once."""

import base64
import json
import time
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from deploy.kafka.broker import Cluster
from deploy.kafka.rights import users
from gateway.settings.tree import KafkaSettings
from tests.certificates import Authority

PASSWORD = "right-7f3c9d"

LISTENERS = {
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "STALE": "SSL",
    "ELSEWHERE": "SSL",
    "LOGIN": "SASL_PLAINTEXT",
    "SECURE": "SASL_SSL",
    "TOKEN": "SASL_PLAINTEXT",
}
USERS = ("gateway", "guest", *(user.name for user in users()))
SCRAM = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}
REAUTHENTICATED_MS = 1_500  # how long the broker lets a token's connection live


class Secured:
    """One broker with a listener of each kind, and the files to reach them with."""

    def __init__(self, folder):
        self.folder = folder
        self.iterations = 4096
        self.ours, self.foreign = Authority(folder, "ours"), Authority(folder, "foreign")
        servers = {name: self.ours.issue(f"server-{name}") for name in ("TLS", "MUTUAL", "SECURE")}
        servers["STALE"] = self.ours.issue("server-stale", days=-1)
        servers["ELSEWHERE"] = self.ours.issue("server-elsewhere", address="127.0.0.9")
        self.ours.issue("client")
        self.ours.issue("client-stale", days=-1)
        self.foreign.issue("client-foreign")
        tokens = {"token": token(), "stale-token": token(seconds=-1)}
        for name, text in {"right": PASSWORD, "wrong": "wrong-7f3c9d", **tokens}.items():
            (folder / name).write_text(text)
        lines = [
            f"listener.name.{name.lower()}.ssl.keystore.{part}"
            for name, file in servers.items()
            for part in ("type=PEM", f"location={file}")
        ]
        lines += [
            "listener.name.mutual.ssl.client.auth=required",
            "listener.name.mutual.ssl.truststore.type=PEM",
            f"listener.name.mutual.ssl.truststore.location={self.ours.file}",
        ]
        for name in ("login", "secure"):
            lines += [
                f"listener.name.{name}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
                *(
                    f"listener.name.{name}.{mechanism.lower()}.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
                    for mechanism in SCRAM
                ),
                f"listener.name.{name}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
                + " ".join(f'user_{user}="{PASSWORD}"' for user in USERS)
                + ";",
            ]
        lines += [
            "listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER",
            f"listener.name.token.oauthbearer.connections.max.reauth.ms={REAUTHENTICATED_MS}",
            "listener.name.token.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
        ]
        lines += [
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS;User:gateway;User:rotating",
        ]
        self.cluster = Cluster(listeners=LISTENERS, properties="\n".join(lines) + "\n")

    def settings(self, listener, protocol, **changes):
        """How to reach a listener, rightly or, with these changes, not."""
        own = self.changes(listener, security_protocol=protocol, **changes)
        return KafkaSettings(**{"request_timeout_ms": 5_000} | own)

    def changes(self, listener, **changes):
        """The same as names and values, for who has settings already."""
        protocol = changes.get("security_protocol", LISTENERS.get(listener))
        own = {"security_protocol": protocol}
        own["bootstrap_servers"] = self.cluster.listeners.get(listener, self.cluster.bootstrap_servers)
        if protocol.startswith("SASL") and changes.get("sasl_mechanism") != "OAUTHBEARER":
            own |= {"sasl_username": "gateway", "sasl_password_file": "right"}
        if protocol.endswith("SSL"):
            own |= {"ssl_cafile": "ours.pem"}
        return own | changes

    def start(self):
        """Start the broker, with the users whose passwords it keeps itself."""
        self.cluster.start()
        self.admin = AdminClient({"bootstrap.servers": self.cluster.bootstrap_servers, "log_level": 0})
        self.set_scram("gateway", PASSWORD)

    def set_scram(self, name, password):
        """Set a user's password, and see it set, by its number of iterations: the broker takes a moment."""
        self.iterations += 1
        for mechanism in SCRAM.values():
            info = ScramCredentialInfo(mechanism, self.iterations)
            _wait(
                self.admin.alter_user_scram_credentials([UserScramCredentialUpsertion(name, info, password.encode())])
            )
        _until(lambda: self._iterations_of(name) == {self.iterations})

    def _iterations_of(self, name):
        try:
            asked: Any = self.admin.describe_user_scram_credentials([name])
            found = asked[name].result()
        except KafkaException:  # not known there yet
            return set()
        return {info.iterations for info in found.scram_credential_infos}

    def stop(self):
        self.cluster.stop()

    def grant(self, user):
        """Give a user its rights."""
        self._allow([acl for right in user.rights for acl in acls(user.name, right)])

    @contextmanager
    def without(self, name, right):
        """While inside, a user lacks one right."""
        wanted = [AclBindingFilter(*parts(acl)) for acl in acls(name, right)]
        _wait(self.admin.delete_acls(wanted))
        _until(lambda: not any(map(self._knows, wanted)))
        try:
            yield
        finally:
            self._allow(acls(name, right))

    def _allow(self, bindings):
        _wait(self.admin.create_acls(bindings))
        _until(lambda: all(self._knows(AclBindingFilter(*parts(acl))) for acl in bindings))

    def _knows(self, wanted):
        """Whether the broker's own authorizer has it by now: the controller confirms it before that."""
        return bool(self.admin.describe_acls(wanted).result())


def acls(name, right):
    """A right as the broker keeps it, one for each operation."""
    pattern = ResourcePatternType.PREFIXED if right.is_prefix else ResourcePatternType.LITERAL
    kind = {"transactionalId": "TRANSACTIONAL_ID", "topic": "TOPIC", "group": "GROUP"}[right.kind]
    return [
        AclBinding(
            ResourceType[kind],
            right.name,
            pattern,
            f"User:{name}",
            "*",
            AclOperation["DESCRIBE_CONFIGS" if operation == "DescribeConfigs" else operation.upper()],
            AclPermissionType.ALLOW,
        )
        for operation in right.operations
    ]


def parts(acl):
    return (
        acl.restype,
        acl.name,
        acl.resource_pattern_type,
        acl.principal,
        acl.host,
        acl.operation,
        acl.permission_type,
    )


def _wait(answers):
    for answer in answers.values():
        answer.result()


def _until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def token(name="gateway", seconds=3600.0):
    """A token as a broker without a validator of its own takes it (alg none), for so long."""
    now = time.time()
    claims = {"sub": name, "iat": now - 1, "exp": now + seconds}
    return ".".join([*(_b64(json.dumps(part).encode()) for part in ({"alg": "none"}, claims)), ""])


def _b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
