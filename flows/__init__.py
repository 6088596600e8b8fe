"""The stories: each flow reads aloud as one way of the lifecycle."""
