"""Algorithms and the data they pass. A library: never prints, exits or parses arguments."""
