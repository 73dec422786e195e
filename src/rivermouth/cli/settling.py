"""What a server does once, when all that stays for good is loaded."""

import gc


def settle() -> None:
    """Spare the collector what stays for good: 100,000 objects took it 67 ms, in the middle of answers (2026-11-20)."""
    gc.collect()
    gc.freeze()
