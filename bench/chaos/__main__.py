"""`python -m bench.chaos --rounds 200 --mode sqlite`: rounds until there are enough, and a line in the table."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from bench.chaos import table
from bench.chaos.faults import ALONE, FAULTS, TOGETHER
from bench.chaos.rounds import Report, trial
from bench.chaos.site import cluster, single

SITES = {"sqlite": single, "cluster": cluster}
FITTING = {"sqlite": ALONE, "cluster": TOGETHER}


async def main(options: argparse.Namespace, folder: Path) -> list[Report]:
    reports: list[Report] = []
    rounds = range(options.first, options.first + options.rounds)
    async with SITES[options.mode](folder) as site:
        async for report in trial(site, options.seed, rounds, options.faults or FITTING[options.mode], options.clients):
            reports.append(report)
            print(f"{time.strftime('%H:%M:%S')} {report.line()}", flush=True)
            for breach in report.breaches:
                print(f"    BREACH {breach}", flush=True)
            if report.breaches and options.stop:
                break
    return reports


def summary(reports: list[Report]) -> str:
    """One line for all rounds."""
    clients, cuts = sum(report.clients for report in reports), sum(report.cuts for report in reports)
    bad = sum(bool(report.breaches) for report in reports)
    return f"{len(reports)} rounds, {clients} clients, {cuts} cuts, {bad} rounds with breaches"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--mode", choices=SITES, default="sqlite")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the number of the first round, to repeat one")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--seed", default=str(int(time.time())))
    parser.add_argument("--faults", nargs="*", choices=FAULTS, help="all that fit the mode, where not given")
    parser.add_argument("--stop", action="store_true", help="end after the first breach")
    parser.add_argument("--table", action="store_true", help="add a line to README.md")
    parser.add_argument("--folder", type=Path, help="where data and logs are kept; else they are thrown away")
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        reports = asyncio.run(main(options, options.folder or Path(folder)))
    print(summary(reports))
    if options.table:
        table.add(reports, options.mode, options.seed)
    sys.exit(any(report.breaches for report in reports))
