"""The journal of runs in one SQLite file; the only package with SQL."""
