"""The study file: reads and checks it, and decides which plug-ins may run. It may import `results`."""
