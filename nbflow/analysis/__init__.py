"""Facts about source code, without running it and without IPython."""
