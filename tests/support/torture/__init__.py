"""The long part of the durability tests: kills, faults and hostile inputs, counted. See `scripts/torture --help`."""
