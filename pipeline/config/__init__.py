"""The style config: its settings, how they are read, and the styles that ship."""
