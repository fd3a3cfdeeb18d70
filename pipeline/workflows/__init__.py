"""One file for each thing a person does: prepare, render, resume, export, preview, evaluate, clean."""
