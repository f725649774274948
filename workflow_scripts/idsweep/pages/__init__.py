"""What pages share that are opened from disk: how they are put together, how their data are packed, and scripts for both."""
