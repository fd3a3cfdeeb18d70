"""Finishing: pure functions of stored frames, applied when the video is written, so no frame is stylized again."""
