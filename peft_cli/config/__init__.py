"""Configuration: overrides and YAML to a checked configuration."""
