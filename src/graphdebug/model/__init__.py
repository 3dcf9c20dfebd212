"""What a run is made of: events about nodes, and the findings drawn from them."""
