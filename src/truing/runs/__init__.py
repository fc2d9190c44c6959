"""What a run is: its folder and figures, saving and resuming, processes, signals."""
