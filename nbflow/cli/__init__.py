"""`nbflow ...` on the command line."""
