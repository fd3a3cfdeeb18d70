"""Stills before a render: some frames in some variants of a style, on a sheet."""
