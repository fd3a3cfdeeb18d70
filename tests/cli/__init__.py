"""Tests of the command line, from its arguments to the files that it leaves."""
