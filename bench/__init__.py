"""Measures the gateway beside the plainest gateway that Python allows, and beside its peers: `python -m bench --help`."""
