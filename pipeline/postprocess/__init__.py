"""Pure functions of stored frames, applied when the video is written."""
