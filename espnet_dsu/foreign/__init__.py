"""k-means files of other toolkits: read as data, never executed."""
