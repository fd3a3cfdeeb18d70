"""The long durability tests: kills, faults, full disks, leaks and hostile inputs. See `scripts/torture --help`."""
