"""The settings as one tree of frozen Structs; their defaults are the product's defaults.

Order of precedence: defaults < TOML file < environment (`GATEWAY_KAFKA__BOOTSTRAP_SERVERS`). Secrets are files.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.topics import Topics

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class KafkaSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to reach the brokers, and what to ask of the group; names as aiokafka has them."""

    bootstrap_servers: str = "127.0.0.1:9092"
    group_id: str = "leverage-gateway"
    group_instance_id: str | None = None  # static membership, for rolling restarts
    client_id: str = "leverage-gateway"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password_file: str | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    check_partitioner: bool = True
    session_timeout_ms: Count = 30_000
    rebalance_timeout_ms: Count = 45_000
    transaction_timeout_ms: Count = 30_000
    request_timeout_ms: Count = 10_000
    commit_interval: Seconds = 1.0
    topics: Topics = Topics()
    partitions: Count = 12
    replicas: Count = 1


class PipelineSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of the way from record to answer."""

    max_incomplete: Annotated[
        int, Meta(ge=2, description="Unanswered commands of one partition before fetching pauses.")
    ] = 2_000
    max_in_flight: Annotated[int, Meta(ge=1, description="Venue calls at once in this process.")] = 128
    max_lane_queue: Annotated[int, Meta(ge=1, description="Commands waiting in one lane where latest_wins is off.")] = (
        100
    )
    collect_ms: Annotated[int, Meta(ge=0, le=1000, description="How long answers gather for one transaction.")] = 5
    drain_timeout: Seconds = 15.0
    repeat_window_count: Annotated[int, Meta(ge=0, description="Answered command ids remembered a partition.")] = (
        100_000
    )
    repeat_window_age: Annotated[float, Meta(ge=0, description="Seconds an answered command id is remembered.")] = (
        3600.0
    )


class HttpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where /livez, /readyz and /metrics are."""

    listen: str = "127.0.0.1:8080"


class LoggingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How logs look."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class LimitSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An override of one of the venue's published limits."""

    capacity: Count | None = None
    window: Seconds | None = None
    shared: Annotated[bool, Meta(description="Held in Redis or Valkey with the other replicas on this address.")] = (
        False
    )
    assume_spent_at_start: Annotated[
        bool | None, Meta(description="Wait one window after start; None: where no usage header tells.")
    ] = None


class VenueSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One venue: where, how patiently, how often."""

    base_url: str | None = None
    latest_wins: bool = True
    call_timeout: Annotated[float, Meta(gt=0, le=60)] = 5.0
    deadline: Annotated[float, Meta(gt=0, description="Seconds a command without expires_at may take.")] = 60.0
    deadline_counts_from: Annotated[
        Literal["issued", "read"],
        Meta(description="From when `deadline` counts: `read` carries out what waited through an outage, however old."),
    ] = "issued"
    max_attempts: Count = 5
    backoff_base: Seconds = 0.2
    backoff_cap: Seconds = 10.0
    dead_letters_per_minute: Annotated[int, Meta(ge=0, description="The brake on the dead-letter topic.")] = 120
    breaker_failures: Annotated[int, Meta(ge=1, description="Failures in a row that open an account's breaker.")] = 5
    breaker_reset: Annotated[float, Meta(gt=0, description="Seconds until a half-open probe.")] = 5.0
    limits: dict[str, LimitSettings] = {}


class CredentialSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files that hold one account's keys at one venue; never the keys themselves."""

    api_key_file: str
    api_secret_file: str | None = None
    private_key_file: str | None = None
    passphrase_file: str | None = None
    simulated: bool = False


class RedisSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Budgets shared by replicas on one address."""

    url: str = "redis://127.0.0.1:6379/0"
    username: str | None = None
    password_file: str | None = None
    ssl_cafile: str | None = None
    replica: Annotated[
        str | None,
        Meta(description="This process among the replicas, the same after a restart; None: host and http.listen."),
    ] = None
    fallback_share: Annotated[float, Meta(gt=0, le=1, description="Of each shared budget, while Redis is gone.")] = 0.25


class VenuesSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table a venue; a venue that needs no change needs no table."""

    binance_margin: VenueSettings = VenueSettings(deadline=300.0)
    binance_usdm: VenueSettings = VenueSettings()
    binance_portfolio: VenueSettings = VenueSettings()
    okx: VenueSettings = VenueSettings()
    ztdx: VenueSettings = VenueSettings()


class AccountSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The venues one account trades at."""

    binance_margin: CredentialSettings | None = None
    binance_usdm: CredentialSettings | None = None
    binance_portfolio: CredentialSettings | None = None
    okx: CredentialSettings | None = None
    ztdx: CredentialSettings | None = None


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it."""

    kafka: KafkaSettings = KafkaSettings()
    pipeline: PipelineSettings = PipelineSettings()
    http: HttpSettings = HttpSettings()
    logging: LoggingSettings = LoggingSettings()
    venues: VenuesSettings = VenuesSettings()
    accounts: dict[str, AccountSettings] = {}
    redis: RedisSettings = RedisSettings()
