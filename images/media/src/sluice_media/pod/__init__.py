"""The parts that every media pod has: settings, configuration files, logs, signals and status."""
