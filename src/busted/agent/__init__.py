"""Puts the rooms together: the pipeline on one page, and the loop that feeds it."""
