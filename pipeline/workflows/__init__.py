"""One file for each thing a user does: render, resume, export, preview, evaluate, clean, demo, doctor, still, clip."""
