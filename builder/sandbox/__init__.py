"""Programs in a closed environment, and the SDK in which they run."""
