"""The settings as one tree of frozen Structs; their defaults are the product's defaults.

Order of precedence: defaults < TOML file < environment (`GATEWAY_KAFKA__BOOTSTRAP_SERVERS`). Secrets are files.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.topics import PARTITIONS, REPLICAS, Topics

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
HttpClient = Literal["wire", "session"]


class KafkaSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to reach the brokers, and what to ask of the group; names as aiokafka has them."""

    bootstrap_servers: Annotated[str, Meta(description="`host:port`, or several joined by commas.")] = "127.0.0.1:9092"
    group_id: Annotated[str, Meta(description="The consumer group; the same for all replicas.")] = "leverage-gateway"
    former_group_ids: Annotated[
        tuple[str, ...],
        Meta(description="Names that the group had before: answers of any other group on these topics end the start."),
    ] = ()
    group_instance_id: Annotated[
        str | None,
        Meta(description="Static membership, for rolling restarts without a rebalance; its own for every process."),
    ] = None
    client_id: Annotated[str, Meta(description="How brokers name this client in their logs and quotas.")] = (
        "leverage-gateway"
    )
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Meta(description="As the listener has it: with TLS or without, with a login or without."),
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"], Meta(description="How to log in.")
    ] = "PLAIN"
    sasl_username: Annotated[str | None, Meta(description="Who logs in.")] = None
    sasl_password_file: Annotated[str | None, Meta(description="The file that holds the password.")] = None
    oauth_token_file: Annotated[
        str | None, Meta(description="For OAUTHBEARER: the file that holds the token, read at every login.")
    ] = None
    oauth_token_endpoint: Annotated[
        str | None, Meta(description="In its place: the URL that grants tokens for client credentials.")
    ] = None
    oauth_client_id: Annotated[str | None, Meta(description="Who asks there.")] = None
    oauth_client_secret_file: Annotated[str | None, Meta(description="The file that holds the client's secret.")] = None
    oauth_scope: Annotated[str | None, Meta(description="The scope to ask for, where one is wanted.")] = None
    oauth_cafile: Annotated[
        str | None, Meta(description="PEM file of the authorities to trust there; none: the system's.")
    ] = None
    ssl_cafile: Annotated[str | None, Meta(description="PEM file of the authorities to trust; none: the system's.")] = (
        None
    )
    ssl_certfile: Annotated[str | None, Meta(description="PEM file of our own certificate, for mutual TLS.")] = None
    ssl_keyfile: Annotated[str | None, Meta(description="Its key, where that is not in the same file.")] = None
    ssl_password_file: Annotated[
        str | None, Meta(description="The file that holds the password of that key, where it is encrypted.")
    ] = None
    check_partitioner: Annotated[
        bool, Meta(description="Whether a command on another partition than murmur2 gives its key is `invalid`.")
    ] = True
    # A heartbeat comes ten times a session: it bears a broker or a process that stands still for ten seconds.
    session_timeout_ms: Annotated[
        Count, Meta(description="How long a dead owner's partitions wait for it, and then go to the others.")
    ] = 12_000
    # The longest call and three commits: shorter, one slow commit stops the calls; longer, a successor waits longer.
    lease: Annotated[
        Seconds, Meta(description="Seconds after a commit in which calls may be under way; at most a session.")
    ] = 8.0
    rebalance_timeout_ms: Annotated[
        Count, Meta(description="How long members may drain in a rebalance before they are thrown out.")
    ] = 45_000
    transaction_timeout_ms: Annotated[
        Count, Meta(description="When the broker aborts what was left open; at most its own maximum.")
    ] = 30_000
    request_timeout_ms: Annotated[Count, Meta(description="How long one request to a broker may take.")] = 10_000
    start_patience: Annotated[
        float,
        Meta(ge=0, description="Seconds that `run` and `serve` wait for a broker at the start; 0: exit 3 at once."),
    ] = 0.0
    commit_interval: Annotated[
        Seconds, Meta(description="Seconds between two commits, each of which renews the lease on calls.")
    ] = 1.0
    topics: Topics = Topics()
    partitions: Annotated[Count, Meta(description="Partitions of each topic but the policy's, which has one.")] = (
        PARTITIONS
    )
    replicas: Annotated[Count, Meta(description="Replicas of topics that `topics create` makes; 3 in production.")] = (
        REPLICAS
    )


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
    drain_timeout: Annotated[
        Seconds, Meta(description="Seconds that commands under way have when the process stops or a partition leaves.")
    ] = 15.0
    repeat_window_count: Annotated[int, Meta(ge=0, description="Answered command ids remembered a partition.")] = (
        100_000
    )
    repeat_window_age: Annotated[float, Meta(ge=0, description="Seconds an answered command id is remembered.")] = (
        3600.0
    )


class DeadLetterSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the dead-letter commands go by."""

    max_redrives: Annotated[
        Count, Meta(description="Redrives after which a letter that comes back again is `came_back`.")
    ] = 3


class OperatorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person who may freeze, thaw and change caps."""

    public_key_file: Annotated[
        str | None, Meta(description="PEM file of an operator's public Ed25519 key; without operators nobody signs.")
    ] = None


class PolicySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done about the policy topic, and who signs what is on it."""

    unreadable_at_start: Annotated[
        Literal["stop", "freeze"],
        Meta(description="Where the policy topic cannot be read: do not start, or start with everything frozen."),
    ] = "stop"
    freeze_after: Annotated[
        float, Meta(ge=0, description="Seconds to go on without the policy topic before everything is frozen.")
    ] = 300.0
    operators: dict[str, OperatorSettings] = {}


class HttpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where /livez, /readyz and /metrics are."""

    listen: Annotated[
        str, Meta(description="`host:port`; for probes of a kubelet `0.0.0.0:port`. Port 0 takes a free one.")
    ] = "127.0.0.1:8080"


class LoggingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How logs look."""

    format: Annotated[
        Literal["auto", "json", "console"], Meta(description="`auto` is the console's on a terminal, else JSON.")
    ] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="The least that is logged.")] = (
        "info"
    )


class TracesSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where traces go; the extra `traces`."""

    endpoint: Annotated[
        str | None,
        Meta(description="URL that takes traces by OTLP over HTTP, as `http://collector:4318/v1/traces`; none: none."),
    ] = None
    share: Annotated[
        float, Meta(ge=0, le=1, description="Of commands that bring no `traceparent`, how many are traced.")
    ] = 1.0


class LimitSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An override of one of the venue's published limits."""

    capacity: Annotated[Count | None, Meta(description="Weight in a window; none: as the venue publishes it.")] = None
    window: Annotated[Seconds | None, Meta(description="Seconds; none: as the venue publishes it.")] = None
    shared: Annotated[bool, Meta(description="Held in Redis or Valkey with the other replicas on this address.")] = (
        False
    )
    assume_spent_at_start: Annotated[
        bool | None, Meta(description="Wait one window after start; None: where no usage header tells.")
    ] = None


class VenueSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One venue: where, how patiently, how often."""

    base_url: Annotated[
        str | None, Meta(description="Where the venue is; none: its public address. A path is a proxy's prefix.")
    ] = None
    allow_http: Annotated[
        bool,
        Meta(description="Let base_url be plain http beyond this machine: for simulated venues, never for real ones."),
    ] = False
    proxy: Annotated[
        str | None,
        Meta(description="Proxy to reach it through, as `http://proxy:3128`: by CONNECT, without a login."),
    ] = None
    latest_wins: Annotated[bool, Meta(description="Whether a newer command of a lane supersedes those that wait.")] = (
        True
    )
    call_timeout: Annotated[float, Meta(gt=0, le=60, description="Seconds for one HTTP call.")] = 5.0
    http_client: Annotated[
        HttpClient,
        Meta(description="What makes the calls: the lean client, or aiohttp's whole session should that one break."),
    ] = "wire"
    deadline: Annotated[float, Meta(gt=0, description="Seconds a command without expires_at may take.")] = 60.0
    settles_within: Annotated[
        Seconds | None,
        Meta(description="Seconds after which a call that the venue has takes effect no more; none: the venue's own."),
    ] = None
    deadline_counts_from: Annotated[
        Literal["issued", "read"],
        Meta(description="From when `deadline` counts: `read` carries out what waited through an outage, however old."),
    ] = "issued"
    max_attempts: Annotated[Count, Meta(description="Calls for one command, first and repeated ones.")] = 5
    backoff_base: Annotated[Seconds, Meta(description="Seconds before the first repeated call; doubles each time.")] = (
        0.2
    )
    backoff_cap: Annotated[Seconds, Meta(description="The longest pause before a repeated call.")] = 10.0
    dead_letters_per_minute: Annotated[int, Meta(ge=0, description="The brake on the dead-letter topic.")] = 120
    breaker_failures: Annotated[int, Meta(ge=1, description="Failures in a row that open an account's breaker.")] = 5
    breaker_reset: Annotated[float, Meta(gt=0, description="Seconds until a half-open probe.")] = 5.0
    limits: dict[str, LimitSettings] = {}


class CredentialSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files that hold one account's keys at one venue; never the keys themselves."""

    api_key_file: Annotated[str, Meta(description="The file that holds the API key.")]
    api_secret_file: Annotated[str | None, Meta(description="The file that holds the HMAC secret.")] = None
    private_key_file: Annotated[
        str | None, Meta(description="In its place, for Binance: a PEM file of an RSA or Ed25519 key.")
    ] = None
    private_key_password_file: Annotated[
        str | None, Meta(description="The file that holds the password of that key, where it is encrypted.")
    ] = None
    passphrase_file: Annotated[str | None, Meta(description="The passphrase of an OKX key.")] = None
    simulated: Annotated[bool, Meta(description="An OKX key of demo trading.")] = False


class RedisSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Budgets shared by replicas on one address."""

    url: Annotated[str, Meta(description="`redis://host:port/database`, or `rediss://` for TLS.")] = (
        "redis://127.0.0.1:6379/0"
    )
    username: Annotated[str | None, Meta(description="The user of an access list, where there is one.")] = None
    password_file: Annotated[str | None, Meta(description="The file that holds the password.")] = None
    ssl_cafile: Annotated[str | None, Meta(description="PEM file of the authorities to trust; none: the system's.")] = (
        None
    )
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


class EdgeTokenSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may come to the edge, and what for."""

    token_file: Annotated[str, Meta(description="The file that holds the token; read again when it changes.")]
    accounts: Annotated[
        tuple[str, ...], Meta(min_length=1, description="Which accounts, as patterns: `desk-*`; `*` is all of them.")
    ]
    verbs: Annotated[
        tuple[Literal["read", "send", "redrive"], ...],
        Meta(min_length=1, description="What for; `redrive` is for commands that name a `redrive_of`."),
    ]


class EdgeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The edge, `leverage-gateway serve`: where, for whom, and how much of it."""

    listen: Annotated[str, Meta(description="`host:port`, for `/v1`, the probes and the metrics of the edge.")] = (
        "127.0.0.1:8081"
    )
    tls_certfile: Annotated[str | None, Meta(description="PEM file of the certificate; none: without TLS.")] = None
    tls_keyfile: Annotated[str | None, Meta(description="Its key, where that is not in the same file.")] = None
    origins: Annotated[
        tuple[str, ...], Meta(description="Origins of pages that browsers may come from, as `https://desk.example`.")
    ] = ()
    max_body_bytes: Annotated[Count, Meta(description="The largest body of a request.")] = 1_048_576
    max_frame_bytes: Annotated[Count, Meta(description="The largest message of a client on a WebSocket.")] = 65_536
    max_list: Annotated[Count, Meta(description="Commands in one request.")] = 1_000
    max_wait: Annotated[Seconds, Meta(description="Seconds that `?wait=` may be at most.")] = 60.0
    max_connections: Annotated[Count, Meta(description="Connections in all.")] = 20_000
    max_streams_per_token: Annotated[Count, Meta(description="Streams of one token at a time.")] = 10_000
    max_subscriptions: Annotated[Count, Meta(description="Subscriptions of one connection.")] = 16
    max_rate_per_token: Annotated[
        Count, Meta(description="Requests, frames and commands of one token a second; twice as many at once.")
    ] = 1_000
    max_unread_bytes: Annotated[
        Count, Meta(description="What a reader in mode `events` may leave unread before it is closed with 4008.")
    ] = 1_048_576
    max_unread_seconds: Annotated[Seconds, Meta(description="For how long it may leave that unread.")] = 10.0
    heartbeat: Annotated[
        Seconds, Meta(description="Seconds on a stream that nothing is told, after which a heartbeat is.")
    ] = 5.0
    gather_ms: Annotated[
        int, Meta(ge=0, le=1000, description="How long events gather after some came: less is sooner, and costs more.")
    ] = 50
    drain_timeout: Annotated[
        Seconds, Meta(description="Seconds that streams have to go elsewhere when the process stops.")
    ] = 10.0
    tokens: dict[str, EdgeTokenSettings] = {}


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it."""

    kafka: KafkaSettings = KafkaSettings()
    pipeline: PipelineSettings = PipelineSettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    http: HttpSettings = HttpSettings()
    logging: LoggingSettings = LoggingSettings()
    traces: TracesSettings = TracesSettings()
    venues: VenuesSettings = VenuesSettings()
    accounts: dict[str, AccountSettings] = {}
    redis: RedisSettings = RedisSettings()
    policy: PolicySettings = PolicySettings()
    edge: EdgeSettings = EdgeSettings()
