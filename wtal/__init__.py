"""Weakly supervised temporal action localization: where actions happen, learned from tags alone."""

__version__ = "0.1.0"
