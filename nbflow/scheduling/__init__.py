"""Fires schedules, and runs what they ask for in this process."""
