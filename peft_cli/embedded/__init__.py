"""What ships with the package: the data set `mini`, the `tiny-*` backbones, and the grammars they were made with."""
