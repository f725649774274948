"""explorer.html: one page, opened from disk, in which a sweep's results are looked at."""
