"""Modules that several tests import: made clips and frames, and rigs that interrupt or damage renders."""
