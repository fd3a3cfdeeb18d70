"""Soft masks of frames: from pictures, from ranges of the content, carried along the flow, and of the sky."""
