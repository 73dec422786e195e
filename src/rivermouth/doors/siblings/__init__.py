"""The small endpoints that each system's clients need around chat."""
