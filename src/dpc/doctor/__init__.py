"""What `dpc doctor` looks at: datasets, CLIP, machine and grid, before anything runs."""
