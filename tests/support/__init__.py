"""What tests share: clips made in the process, and rigs that break renders."""
