"""Room: rebuild. Which services have grown stale and why, in which order they are rebuilt, what is begun next."""
