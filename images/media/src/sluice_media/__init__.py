"""The data plane of Sluice: one image, its roles chosen by subcommand (see `sluice_media.cli`)."""
