"""What every room stands on: files that survive crashes, hashes, threads, devices, progress."""
