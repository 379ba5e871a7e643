"""Runs without their author: notebooks in kernels of their own, flows of scripts."""
