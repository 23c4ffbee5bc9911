"""Imports what every run needs. The process that did so is copied for each run, which then starts at once.

It computes nothing: no thread of torch's and no state of a GPU exists yet when it is copied.
"""
