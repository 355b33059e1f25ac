"""Measures the gateway beside the plainest one that Python allows, and beside its peers: `python -m bench --help`."""
