"""How the tiny backbones and the embedded data sets were made."""
