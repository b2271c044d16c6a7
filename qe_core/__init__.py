"""The library a quality-engineering agent imports: the fleet, the learning core and the store."""
