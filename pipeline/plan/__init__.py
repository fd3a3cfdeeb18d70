"""From source, shots and styles to the chains of a render, their identity, and the plan file."""
