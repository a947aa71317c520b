"""The control plane of Sluice: reconciles live streams, recordings, restreams and stores."""
