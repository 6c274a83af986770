"""Plans: compile the step for a topology and read the program: memory, traffic, time."""
