"""Published walk-throughs on memes, each run by its name and set beside memefuse's own heads."""
