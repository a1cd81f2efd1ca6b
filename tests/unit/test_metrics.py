"""The metrics over several processes and their restarts, as a scrape sees them.

prometheus-client keeps one set of values in a process, so each counting process here is one of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sendgate.metrics import (
    CONTENT_TYPE,
    DECISION_BUCKETS_SECONDS,
    RESYNC_CAUSES,
    CampaignLabels,
    StoreCollector,
    StoreFigures,
    exposition,
)
from sendgate.store.chain import Cause
from unit import child

_COUNT = """
import sys
from pathlib import Path
from sendgate.metrics import Metrics
metrics = Metrics(Path(sys.argv[1]), sys.argv[2], max_labels=2)
exec(sys.argv[3])
"""
_FOLLOW = """
import sys
from pathlib import Path
from sendgate.metrics import FollowMetrics
metrics = FollowMetrics(Path(sys.argv[1]))
exec(sys.argv[2])
"""
_EVERYTHING = """
metrics.recipients("spring", "reject", "trap")
metrics.message("spring")
metrics.trap_hit("spring")
metrics.decision_seconds([0.00001])
metrics.store_fault()
metrics.exception()
metrics.workers(2)
metrics.worker_restart("recycled")
metrics.config_reload("ok")
metrics.swept(3)
"""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def count(folder: Path, identifier: str, code: str) -> None:
    child.run(_COUNT, folder, identifier, code)


def scrape(folder: Path) -> Samples:
    text, _ = exposition(folder)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_the_exposition_has_the_metrics_of_the_design(tmp_path: Path) -> None:
    count(tmp_path, "worker-0", _EVERYTHING)
    text, content_type = exposition(
        tmp_path, [StoreCollector(lambda: StoreFigures({"trap": 7, "manual": 2}, age_seconds=0.5, changes=9, kept=3))]
    )
    lines = text.decode().splitlines()
    assert content_type == CONTENT_TYPE
    for line in (
        'sendgate_recipients_total{campaign="spring",decision="reject",reason="trap"} 1.0',
        'sendgate_messages_total{campaign="spring"} 1.0',
        'sendgate_trap_hits_total{campaign="spring"} 1.0',
        "sendgate_decision_seconds_count 1.0",
        "sendgate_store_faults_total 1.0",
        "sendgate_exceptions_total 1.0",
        "sendgate_workers 2.0",
        'sendgate_worker_restarts_total{cause="recycled"} 1.0',
        'sendgate_config_reloads_total{result="ok"} 1.0',
        "sendgate_swept_entries_total 3.0",
        "sendgate_store_up 1.0",
        'sendgate_entries{reason="trap"} 7.0',
        'sendgate_entries{reason="manual"} 2.0',
        "sendgate_replica_age_seconds 0.5",
        "sendgate_replica_kept_entries 3.0",
        "sendgate_replica_changes_total 9.0",
    ):
        assert line in lines


def test_a_store_that_cannot_be_read_is_told_and_has_no_figures(tmp_path: Path) -> None:
    text = exposition(tmp_path, [StoreCollector(lambda: None)])[0].decode()
    assert "sendgate_store_up 0.0" in text
    assert "sendgate_entries" not in text


def test_a_store_that_keeps_nothing_says_so(tmp_path: Path) -> None:
    text = exposition(tmp_path, [StoreCollector(lambda: StoreFigures({}, age_seconds=0.0, changes=0))])[0].decode()
    assert "sendgate_replica_kept_entries 0.0" in text.splitlines()


def test_an_endless_age_is_told_as_such(tmp_path: Path) -> None:
    figures = StoreFigures({}, age_seconds=float("inf"), changes=0)
    assert "sendgate_replica_age_seconds +Inf" in exposition(tmp_path, [StoreCollector(lambda: figures)])[0].decode()


def test_an_embedded_store_has_no_metrics_of_following(tmp_path: Path) -> None:
    count(tmp_path, "worker-0", _EVERYTHING)
    names = {name for name, _ in scrape(tmp_path)}
    assert not names & {"sendgate_origin_up", "sendgate_resyncs_total"}


def test_every_cause_of_a_resync_is_there_from_the_start(tmp_path: Path) -> None:
    child.run(_FOLLOW, tmp_path, "")
    samples = scrape(tmp_path)
    assert [value(samples, "sendgate_resyncs_total", cause=cause) for cause in RESYNC_CAUSES] == [0] * 4
    assert {Cause(cause) for cause in RESYNC_CAUSES} == set(Cause)


def test_resyncs_are_counted_by_cause_over_restarts_of_the_follower(tmp_path: Path) -> None:
    child.run(_FOLLOW, tmp_path, "metrics.resync('bootstrap'); metrics.resync('gap')")
    child.run(_FOLLOW, tmp_path, "metrics.resync('gap')")
    samples = scrape(tmp_path)
    assert value(samples, "sendgate_resyncs_total", cause="bootstrap") == 1
    assert value(samples, "sendgate_resyncs_total", cause="gap") == 2


def test_whether_the_origin_is_followed_is_what_was_told_last(tmp_path: Path) -> None:
    seen = []
    for code in ("metrics.origin_up(True)", "metrics.origin_up(True); metrics.origin_up(False)", "pass"):
        child.run(_FOLLOW, tmp_path, code)
        seen.append(value(scrape(tmp_path), "sendgate_origin_up"))
    assert seen == [1, 0, 0]


def test_counts_of_all_processes_are_added_up(tmp_path: Path) -> None:
    count(tmp_path, "worker-0", "metrics.recipients('spring', 'pass', 'none', 3); metrics.message('spring')")
    count(tmp_path, "worker-1", "metrics.recipients('spring', 'pass', 'none'); metrics.message('spring')")
    samples = scrape(tmp_path)
    assert value(samples, "sendgate_recipients_total", campaign="spring", decision="pass", reason="none") == 4
    assert value(samples, "sendgate_messages_total", campaign="spring") == 2


def test_a_restarted_process_goes_on_counting_in_the_same_files(tmp_path: Path) -> None:
    count(tmp_path, "worker-0", _EVERYTHING)
    files = sorted(tmp_path.iterdir())
    count(tmp_path, "worker-0", _EVERYTHING)
    samples = scrape(tmp_path)
    assert sorted(tmp_path.iterdir()) == files
    assert value(samples, "sendgate_recipients_total", campaign="spring", decision="reject", reason="trap") == 2
    assert value(samples, "sendgate_decision_seconds_count") == 2
    assert value(samples, "sendgate_worker_restarts_total", cause="recycled") == 2


def test_a_killed_process_s_counts_are_kept(tmp_path: Path) -> None:
    process = child.start(
        _COUNT, tmp_path, "worker-0", "metrics.message('spring'); print('counted', flush=True); input()"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    process.kill()
    process.communicate()
    count(tmp_path, "worker-0", "metrics.message('spring')")
    assert value(scrape(tmp_path), "sendgate_messages_total", campaign="spring") == 2


def test_the_number_of_workers_is_the_latest_told(tmp_path: Path) -> None:
    count(tmp_path, "supervisor", "metrics.workers(2); metrics.workers(5); metrics.workers(4)")
    assert value(scrape(tmp_path), "sendgate_workers") == 4


def test_the_histogram_has_the_right_sum_count_and_buckets(tmp_path: Path) -> None:
    count(tmp_path, "worker-0", "metrics.decision_seconds([0.00001, 0.000011, 0.3]); metrics.decision_seconds([5.0])")
    count(tmp_path, "worker-1", "metrics.decision_seconds([]); metrics.decision_seconds([0.000001])")
    samples = scrape(tmp_path)
    buckets = {
        dict(labels)["le"]: count for (name, labels), count in samples.items() if name.endswith("seconds_bucket")
    }
    assert value(samples, "sendgate_decision_seconds_count") == 5
    assert value(samples, "sendgate_decision_seconds_sum") == pytest.approx(5.300022)
    assert [buckets[le] for le in ("5e-06", "1e-05", "2e-05", "0.1", "1.0", "+Inf")] == [1, 2, 3, 3, 4, 5]
    assert len(buckets) == len(DECISION_BUCKETS_SECONDS) + 1


def test_campaigns_beyond_the_cap_are_counted_as_other(tmp_path: Path) -> None:
    count(tmp_path, "worker-0", "for name in ('a', 'b', 'c', 'd', 'a'): metrics.message(name)")
    samples = scrape(tmp_path)
    assert value(samples, "sendgate_messages_total", campaign="a") == 2
    assert value(samples, "sendgate_messages_total", campaign="b") == 1
    assert value(samples, "sendgate_messages_total", campaign="other") == 2


def test_the_cap_holds_over_processes_and_restarts(tmp_path: Path) -> None:
    count(tmp_path, "worker-0", "metrics.message('a')")
    count(tmp_path, "worker-1", "for name in ('b', 'c', 'a'): metrics.message(name)")
    count(tmp_path, "worker-0", "for name in ('c', 'b'): metrics.message(name)")
    campaigns = {dict(labels)["campaign"] for name, labels in scrape(tmp_path) if name == "sendgate_messages_total"}
    assert campaigns == {"a", "b", "other"}


def test_two_processes_that_meet_new_campaigns_at_once_agree(tmp_path: Path) -> None:
    first, second = CampaignLabels(tmp_path, 3), CampaignLabels(tmp_path, 3)
    labels = [(first.label(f"a{index}"), second.label(f"b{index}")) for index in range(3)]
    assert labels == [("a0", "b0"), ("a1", "other"), ("other", "other")]
    assert (first.label("b0"), second.label("a1")) == ("b0", "a1")


@pytest.mark.parametrize("name", ["é", "two\u3000words", "a\xa0b", "a\u2028b", 'quote"d', "back\\slash"])
def test_an_odd_campaign_name_keeps_one_label(tmp_path: Path, name: str) -> None:
    labels = CampaignLabels(tmp_path, 3)
    assert [labels.label(name), labels.label("next"), labels.label(name)] == [name, "next", name]
    assert CampaignLabels(tmp_path, 3).label(name) == name
    assert (tmp_path / "campaigns").read_text(encoding="utf-8") == f"{name}\nnext\n"
