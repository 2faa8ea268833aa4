"""From words, frames and sound to features: encoders, and the cache of what the frozen ones gave."""
