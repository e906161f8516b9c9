"""Where things are kept between requests."""
