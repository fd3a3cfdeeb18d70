"""The masks of regions and layers: computed before the stylizing, measured, and shown on a sheet."""
