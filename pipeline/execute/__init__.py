"""Running the chains of a plan: scheduling, prefetching, and checking what is stored."""
