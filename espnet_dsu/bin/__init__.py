"""Command-line modules: parse, call the library, nothing else."""
