"""The suites that every plug-in passes: what an author runs against a dialect of their own."""

from rivermouth.testing.dialects import check_dialect
from rivermouth.testing.logs import NASTY, log_of, sample_logs

__all__ = ["NASTY", "check_dialect", "log_of", "sample_logs"]
