"""Numbers of several processes, told by each of them as those of all."""

import subprocess
import sys
from pathlib import Path

from prometheus_client import Gauge

from rivermouth.metrics import Metrics

WORKER = """
import sys
from pathlib import Path
from rivermouth import metrics
from rivermouth.events import RunStarted

folder, number = Path(sys.argv[1]), int(sys.argv[2])
metrics.share(folder, number)
meters = metrics.Metrics(folder)
meters.request(dialect="ares", route="chat", status=200)
meters.run_began(RunStarted(100.0, "r", "ares", "c", "m", "u", "o", "ann", "assistant", "tiny"))
meters.watchers.set(2)
meters.commit(seconds=0.001, events=3)
sys.stdout.buffer.write(meters.exposition())
"""
REQUESTS = 'rivermouth_requests_total{dialect="ares",route="chat",status="200"}'


def worker(folder: Path, number: int) -> dict[str, float]:
    """Counts one of each in a process of its own, which then ends as if killed; what it told."""
    command = [sys.executable, "-c", WORKER, str(folder), str(number)]
    said = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout.decode()
    lines = [line.rpartition(" ") for line in said.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def forget(folder: Path, number: int) -> None:
    code = "import sys; from pathlib import Path; from rivermouth import metrics; metrics.forget(Path(sys.argv[1]), {})"
    subprocess.run([sys.executable, "-c", code.format(number), str(folder)], check=True, timeout=60)


def test_each_process_tells_what_all_have_counted(tmp_path: Path):
    worker(tmp_path, 0)
    told = worker(tmp_path, 1)

    assert told[REQUESTS] == 2
    assert told["rivermouth_live_runs"] == 2
    assert told["rivermouth_watchers"] == 4
    assert told["rivermouth_commit_seconds_count"] == 2
    assert told['rivermouth_commit_events_bucket{le="5.0"}'] == 2


def test_of_a_process_that_ended_its_counts_stay_and_its_live_runs_go(tmp_path: Path):
    worker(tmp_path, 0)
    forget(tmp_path, 0)
    told = worker(tmp_path, 1)

    assert told[REQUESTS] == 2
    assert (told["rivermouth_live_runs"], told["rivermouth_watchers"]) == (1, 2)


def test_whoever_takes_the_place_of_one_that_ended_goes_on_counting(tmp_path: Path):
    worker(tmp_path, 0)
    forget(tmp_path, 0)
    told = worker(tmp_path, 0)

    assert (told[REQUESTS], told["rivermouth_live_runs"]) == (2, 1)
    assert len(list(tmp_path.iterdir())) == 3


def test_every_number_of_the_present_is_added_up_over_the_processes_that_live():
    gauges = [meter for meter in vars(Metrics()).values() if isinstance(meter, Gauge)]

    assert len(gauges) >= 3
    assert {gauge._multiprocess_mode for gauge in gauges} == {"livesum"}
