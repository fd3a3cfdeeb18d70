"""Images and videos: reading them, writing them, and what their pixels mean."""
