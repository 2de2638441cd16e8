"""Real faults under real requests: restarts, standbys, full disks, poolers."""
