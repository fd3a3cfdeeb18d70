"""One file or folder for each thing a user does: render, resume, export, compose, preview, queue, evaluate, clean.

What several of them need stands in folders: `input` (what is measured before anything is stylized), `masks`, `forecast`
(time, memory and disk), and `output` (from stored frames to named, recorded files).
"""
