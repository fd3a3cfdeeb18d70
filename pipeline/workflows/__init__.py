"""One file for each thing a user does: render, resume, export, preview, evaluate, clean, demo, doctor, still, clip.

A queue of many renders has several files, in `queue`.
"""
