"""What every other room uses: atomic files, hashes, devices, threads, cancellation, progress."""
