"""The suites that every plug-in passes: what an author runs against a dialect of their own."""

from rivermouth.testing.dialects import check_dialect
from rivermouth.testing.logs import NASTY, log_of, sample_logs
from rivermouth.testing.logs_shared import check_shared_log
from rivermouth.testing.logs_suite import check_log
from rivermouth.testing.lying import LyingServer
from rivermouth.testing.providers import Heard, check_provider
from rivermouth.testing.stores import check_store

__all__ = [
    "NASTY",
    "Heard",
    "LyingServer",
    "check_dialect",
    "check_log",
    "check_provider",
    "check_shared_log",
    "check_store",
    "log_of",
    "sample_logs",
]
