"""What evidence costs: made, verified, asked for again; against bare trivy and cosign in the same run."""
