"""Carrying out runs: one protocol, and small drivers that do the waiting."""
