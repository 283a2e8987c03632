"""Each alert once with series that raise it and once with series that do not, as promtool's unit tests.

`test_alerts` writes them into one file for `promtool test rules`. A sample is a minute; `20x10` is 20 eleven times.
"""

from typing import Any

from msgspec import Struct

SUM = {"job": "gw"}
AT_OKX = {"job": "gw", "venue": "okx"}
ONE = {"job": "gw", "instance": "a"}
BAD = 'gateway_commands_total{job="gw",instance="a",venue="okx",outcome="outcome_unknown"}'
GOOD = 'gateway_commands_total{job="gw",instance="a",venue="okx",outcome="changed"}'
COUNT = 'gateway_command_duration_seconds_count{job="gw",instance="a",venue="okx"}'
FAST = 'gateway_command_duration_seconds_bucket{job="gw",instance="a",venue="okx",le="5.0"}'
BUILD = 'gateway_build_info{job="gw",instance="a",version="0.1.0",python="3.11"}'


class Case(Struct, frozen=True):
    """One alert: series that raise it by a minute, what it then says of what, and series that do not."""

    alert: str
    fires: dict[str, str]
    labels: dict[str, str]
    says: str
    quiet: dict[str, str]
    minute: int = 10

    def unit_tests(self, severity: str) -> list[dict[str, Any]]:
        """The two tests as promtool reads them."""
        annotations = {"summary": self.says, "runbook": f"deploy/runbook/{self.alert}.md"}
        raised = {"exp_labels": {**self.labels, "severity": severity}, "exp_annotations": annotations}
        return [self._test("fires", self.fires, [raised]), self._test("stays quiet", self.quiet, [])]

    def _test(self, name: str, series: dict[str, str], raised: list[Any]) -> dict[str, Any]:
        expected = {"eval_time": f"{self.minute}m", "alertname": self.alert, "exp_alerts": raised}
        return {
            "name": f"{self.alert} {name}",
            "interval": "1m",
            "input_series": [{"series": of, "values": values} for of, values in series.items()],
            "alert_rule_test": [expected],
        }


def one(name: str, **more: str) -> str:
    """A series of instance `a`."""
    labels = ",".join(f'{label}="{value}"' for label, value in {**ONE, **more}.items())
    return f"{name}{{{labels}}}"


CASES = (
    Case(
        "GatewayAnswersSlow",
        {COUNT: "0+10x60", FAST: "0+5x60"},
        AT_OKX,
        "Answers at okx are slow: 50% took more than 5 s.",
        {COUNT: "0+100x60", FAST: "0+20x10 300+100x50"},  # it was bad, and is over
        minute=60,
    ),
    Case(
        "GatewayAnswersSlowLately",
        {COUNT: "0+100x30", FAST: "0+97x30"},
        AT_OKX,
        "Over hours, 3% of the answers at okx took more than 5 s.",
        {COUNT: "0+1000x30", FAST: "0+995x30"},
        minute=30,
    ),
    Case(
        "GatewayAnswersFail",
        {GOOD: "0+9x20", BAD: "0+1x20"},
        AT_OKX,
        "10% of the commands at okx could not be carried out.",
        {GOOD: "0+100x20", BAD.replace("outcome_unknown", "venue_rejected"): "0+100x20"},
        minute=20,
    ),
    Case(
        "GatewayAnswersFailLately",
        {GOOD: "0+99x30", BAD.replace("outcome_unknown", "expired"): "0+1x30"},
        AT_OKX,
        "Over hours, 1% of the commands at okx could not be carried out.",
        {GOOD: "0+999x30", BAD: "0+1x30"},
        minute=30,
    ),
    Case("GatewayMissing", {'up{job="other"}': "1x10"}, {}, "No gateway is scraped at all.", {BUILD: "1x10"}),
    Case(
        "GatewayRestarting",
        {BUILD: "1x10", one("process_start_time_seconds"): "1 1 2 2 3 3 4 4 4 4 4"},
        ONE,
        "a started 3 times in a quarter of an hour.",
        {one("process_start_time_seconds", instance="b"): "1 1 2 2 3 3 4 4 4 4 4", BUILD: "1x10"},
    ),
    Case(
        "GatewayEventLoopLate",
        {one("gateway_event_loop_lag_seconds"): "0.5x10"},
        ONE,
        "The event loop of a is never less than 500ms late.",
        {one("gateway_event_loop_lag_seconds"): "0.9 0 0 0.9 0 0 0.9 0 0 0.9 0.9"},
    ),
    Case(
        "GatewayDescriptorsRunOut",
        {BUILD: "1x10", one("process_open_fds"): "900x10", one("process_max_fds"): "1000x10"},
        ONE,
        "a has 90% of its descriptors in use.",
        {BUILD: "1x10", one("process_open_fds"): "90x10", one("process_max_fds"): "1000x10"},
    ),
    Case(
        "GatewayLogLinesDropped",
        {one("gateway_log_lines_dropped_total"): "0 0 0 0 0 0 0 0 0 0 40"},
        ONE,
        "Whoever reads the log of a is too slow: 40 lines were dropped.",
        {one("gateway_log_lines_dropped_total"): "40x10"},
    ),
    Case(
        "GatewayVersionsDiffer",
        {BUILD: "1x90", BUILD.replace("0.1.0", "0.2.0").replace('"a"', '"b"'): "1x90"},
        SUM,
        "2 versions have run side by side for an hour.",
        {BUILD: "1x90", BUILD.replace('"a"', '"b"'): "1x90"},
        minute=80,
    ),
    Case(
        "GatewayPartitionRefused",
        {one("gateway_refused_partitions"): "2x10"},
        ONE,
        "Kafka takes no answers of 2 partitions of a; their accounts stand still.",
        {one("gateway_refused_partitions"): "0 0 0 0 0 1 0 0 0 0 0"},
    ),
    Case(
        "GatewayFetchFailing",
        {one("gateway_fetch_failing"): "1x10"},
        ONE,
        "a cannot fetch commands.",
        {one("gateway_fetch_failing"): "0 0 0 0 0 1 0 0 0 0 0"},
    ),
    Case(
        "GatewayLeaseLost",
        {one("gateway_lease_remaining_seconds"): "0x10", one("gateway_assigned_partitions"): "6x10"},
        ONE,
        "a owns partitions and may start no call: Kafka accepts none of its commits.",
        {one("gateway_lease_remaining_seconds"): "0x10", one("gateway_assigned_partitions"): "0x10"},
    ),
    Case(
        "GatewayPartitionsUnowned",
        {
            one("gateway_assigned_partitions"): "6x40",
            one("gateway_assigned_partitions", instance="b"): "6x20 0x20",
        },
        SUM,
        "Only 6 partitions are owned, fewer than in the last hours; the accounts of the rest stand still.",
        {
            one("gateway_assigned_partitions"): "6x20 12x20",
            one("gateway_assigned_partitions", instance="b"): "6x20 _x20",
        },
        minute=35,
    ),
    Case(
        "GatewayStuck",
        {one("gateway_incomplete_offsets", partition="3"): "7x20", GOOD: "5x20"},
        ONE,
        "a has 7 commands and has answered none for ten minutes.",
        {one("gateway_incomplete_offsets", partition="3"): "7x20", GOOD: "0+1x20"},
        minute=20,
    ),
    Case(
        "GatewayUnread",
        {one("gateway_unread_offsets", partition="3"): "60x20", one("gateway_unread_offsets", partition="4"): "60x20"},
        SUM,
        "120 commands wait in Kafka and have not been read for minutes.",
        {one("gateway_unread_offsets", partition="3"): "500 0 0 0 500 0 0 0 500 0 0 0 500 0 0 0 500 0 0 0 500"},
        minute=20,
    ),
    Case(
        "GatewayPartitionPaused",
        {one("gateway_paused_partitions"): "1x20"},
        ONE,
        "1 partitions of a have not been read from for ten minutes.",
        {one("gateway_paused_partitions"): "12 12 0 0 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0 1"},
        minute=15,
    ),
    Case(
        "GatewayTransactionsUnknown",
        {one("gateway_transactions_total", result="unknown"): "0+30x20"},
        {**ONE, "result": "unknown"},
        "a often has to find out whether Kafka took its answers: 0.5 a second.",
        {one("gateway_transactions_total", result="unknown"): "0x5 12x15"},
        minute=15,
    ),
    Case(
        "GatewayFetchesUnparsed",
        {one("gateway_unparsed_fetches_total"): "0x9 1"},
        ONE,
        "Somebody writes records that the client library cannot parse (a read them without it).",
        {one("gateway_unparsed_fetches_total"): "1x10"},
    ),
    Case(
        "GatewayCertificateEnds",
        {one("gateway_kafka_certificate_expires_timestamp_seconds"): "87000x10"},
        ONE,
        "The certificate that a shows Kafka ends in 1d 0h 0m 0s.",
        {
            one("gateway_kafka_certificate_expires_timestamp_seconds"): "900000x10",
            one("gateway_kafka_certificate_expires_timestamp_seconds", instance="b"): "0x10",
        },
    ),
    Case(
        "GatewayOutcomeUnknown",
        {BAD: "0x9 3"},
        {**AT_OKX, "outcome": "outcome_unknown"},
        "At okx it is not known what leverage 3 commands left behind.",
        {BAD: "3x10"},
    ),
    Case(
        "GatewayBanned",
        {one("gateway_bans_total", venue="okx"): "0x9 1"},
        AT_OKX,
        "okx has banned this address or account.",
        {one("gateway_bans_total", venue="okx"): "1x10"},
    ),
    Case(
        "GatewayAccountStopped",
        {one("gateway_accounts_stopped", venue="okx"): "2x10"},
        AT_OKX,
        "okx refuses the keys of 2 accounts; their commands are rejected.",
        {one("gateway_accounts_stopped", venue="okx"): "2 0 2 0 2 0 2 0 0 0 2"},
    ),
    Case(
        "GatewayKeysUnusable",
        {one("gateway_key_reloads_total", venue="okx", result="unusable"): "0x9 1"},
        {**AT_OKX, "result": "unusable"},
        "Keys for okx were changed and are unusable; the old ones are in use.",
        {one("gateway_key_reloads_total", venue="okx", result="used"): "0x9 1"},
    ),
    Case(
        "GatewayBreakerOpen",
        {one("gateway_breaker_open", venue="okx"): "1x10"},
        AT_OKX,
        "okx has not worked for 1 accounts for five minutes.",
        {one("gateway_breaker_open", venue="okx"): "1 1 1 0 1 1 1 0 1 1 1"},
    ),
    Case(
        "GatewayClocksDiffer",
        {one("gateway_venue_clock_offset_seconds", venue="okx"): "-3x10"},
        {**ONE, "venue": "okx"},
        "The clocks of a and okx differ by 3s.",
        {one("gateway_venue_clock_offset_seconds", venue="okx"): "0.4x10"},
    ),
    Case(
        "GatewayLimitNearlySpent",
        {one("gateway_limit_used_ratio", venue="okx", limit="set_leverage"): "0.95x20"},
        {**ONE, "venue": "okx", "limit": "set_leverage"},
        "set_leverage of okx has not been below 95% for a quarter of an hour.",
        {
            one(
                "gateway_limit_used_ratio", venue="okx", limit="set_leverage"
            ): "1 1 0 1 1 1 0 1 1 1 0 1 1 1 0 1 1 1 1 1 1"
        },
        minute=20,
    ),
    Case(
        "GatewaySharedStoreGone",
        {one("gateway_shared_store_up"): "0x10"},
        ONE,
        "a does not reach the store of shared limits and goes on with its share of them.",
        {one("gateway_shared_store_up"): "1 1 1 1 0 1 1 1 1 0 1"},
    ),
    Case(
        "GatewayPolicyLost",
        {one("gateway_policy_lost"): "0 0 1x8"},
        ONE,
        "a cannot read the policy topic: it sees no new freeze, and freezes everything soon.",
        {one("gateway_policy_lost"): "0 1 1 0x8"},
    ),
    Case(
        "GatewayPolicyRecordRefused",
        {one("gateway_policy_records_refused_total"): "0x8 1 1 1"},
        ONE,
        "a does not obey a record of the policy topic.",
        {one("gateway_policy_records_refused_total"): "3x10"},
    ),
    Case(
        "GatewayFrozen",
        {one("gateway_frozen_scopes", state="frozen"): "2x70"},
        {"job": "gw", "state": "frozen"},
        "2 scopes are frozen for an hour.",
        {one("gateway_frozen_scopes", state="frozen"): "1x40 0x30"},
        minute=70,
    ),
    Case(
        "GatewayDeadLetters",
        {one("gateway_dead_letters_total", stage="execute", reason="outcome_unknown"): "0x9 2"},
        {"job": "gw", "stage": "execute", "reason": "outcome_unknown"},
        "2 commands were put aside (outcome_unknown).",
        {one("gateway_dead_letters_total", stage="execute", reason="outcome_unknown"): "2x10"},
    ),
    Case(
        "GatewayDeadLettersBraked",
        {one("gateway_dead_letters_braked_total", venue="okx"): "0x9 9"},
        AT_OKX,
        "So many commands at okx fail that 9 dead letters were left out.",
        {one("gateway_dead_letters_braked_total", venue="okx"): "9x10"},
    ),
)
