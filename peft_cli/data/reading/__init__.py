"""What loaders share: rows of files, files or the hub, splits, triples, and two objects that become rows."""
