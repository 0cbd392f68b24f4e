"""What deploys Export Center, each part with its check."""
