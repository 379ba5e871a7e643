"""nbflow in a notebook: magics, cells as tasks, status lines. The only user of IPython."""
